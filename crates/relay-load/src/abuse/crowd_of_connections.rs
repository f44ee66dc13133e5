//! Slow HTTP connections that are replaced when they are closed.

use std::{
    fmt,
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use crate::clock;

/// The first of their addresses. No client, peer or probe uses this range.
const FIRST: u32 = u32::from_be_bytes([127, 48, 0, 1]);

/// What they send. A third send nothing, a third half of it at once, a third a byte at a time.
const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: relay\r\nX-Padding: ";

/// How often to look after all connections.
const PAUSE: Duration = Duration::from_millis(20);

/// How often to report progress.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// The numbers of connections.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) made: u64,
    pub(super) closed: u64,
    /// How many are open.
    pub(super) open: usize,
    pub(super) most_open: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { made, closed, open, .. } = self;
        write!(f, "{made} connections made, {closed} closed by the relay, {open} are there")
    }
}

enum Place {
    /// No connection until this time.
    Empty(Duration),
    Taken {
        stream: TcpStream,
        said: usize,
        is_connected: bool,
    },
}

/// A fixed number of places for connections.
pub(super) struct Connections {
    address: SocketAddr,
    sources: u32,
    renew_after: Duration,
    places: Vec<Place>,
    tally: Tally,
}

impl Connections {
    /// Creates places for `count` connections to `address`, from `sources` addresses.
    ///
    /// # Errors
    ///
    /// When there are too many.
    pub(super) fn new(address: SocketAddr, count: usize, sources: u32, renew_after: Duration) -> Result<Self> {
        let all = u32::try_from(count).context("there are too many connections")?;
        let now = clock::now();
        // Spread over time, so that replacements are spread as well.
        let places = (0..all).map(|number| Place::Empty(now + renew_after * number / all)).collect();
        Ok(Self { address, sources, renew_after, places, tally: Tally::default() })
    }

    /// Keeps connections open for `duration`, and replaces closed ones. Calls `tell` at intervals.
    ///
    /// # Errors
    ///
    /// When a connection cannot be started.
    pub(super) fn hold_for(&mut self, duration: Duration, mut tell: impl FnMut(&Tally)) -> Result<Tally> {
        let start = clock::now();
        let mut told = start;
        while clock::now() - start < duration {
            self.look_after_all()?;
            if clock::now() - told > TELL_EVERY {
                told = clock::now();
                tell(&self.tally);
            }
            std::thread::sleep(PAUSE);
        }
        Ok(self.tally)
    }

    /// Keeps connections open until `is_over`. Returns how many were made.
    ///
    /// # Errors
    ///
    /// When a connection cannot be started.
    pub(super) fn hold_until(&mut self, is_over: &AtomicBool) -> Result<u64> {
        while !is_over.load(Ordering::Relaxed) {
            self.look_after_all()?;
            std::thread::sleep(PAUSE);
        }
        Ok(self.tally.made)
    }

    fn look_after_all(&mut self) -> Result<()> {
        let mut open = 0;
        for (number, place) in (0_u32..).zip(&mut self.places) {
            match place {
                Place::Empty(until) if *until > clock::now() => {}
                Place::Empty(_) => {
                    let source = Ipv4Addr::from_bits(FIRST + number % self.sources);
                    let stream = connect(SocketAddr::new(source.into(), 0), self.address)
                        .with_context(|| format!("cannot connect from {source} to {}", self.address))?;
                    *place = Place::Taken { stream, said: 0, is_connected: false };
                    self.tally.made += 1;
                }
                Place::Taken { stream, said, is_connected } => {
                    if !*is_connected {
                        *is_connected = stream.peer_addr().is_ok();
                    }
                    let goes_on = !*is_connected || say_something(stream, number, said);
                    if goes_on && !matches!(stream.take_error(), Ok(Some(_)) | Err(_)) {
                        open += usize::from(*is_connected);
                    } else {
                        self.tally.closed += 1;
                        *place = Place::Empty(clock::now() + self.renew_after);
                    }
                }
            }
        }
        self.tally.open = open;
        self.tally.most_open = self.tally.most_open.max(open);
        Ok(())
    }
}

/// Starts a connection.
fn connect(from: SocketAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.bind(&from.into())?;
    match socket.connect(&to.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(Errno::EINPROGRESS as i32) => {}
        Err(error) => return Err(error),
    }
    Ok(socket.into())
}

/// Sends the next bytes of connection `number`. Returns false if the other side has closed it.
fn say_something(stream: &mut TcpStream, number: u32, said: &mut usize) -> bool {
    let next = match number % 3 {
        0 => &REQUEST[REQUEST.len()..],
        1 => REQUEST.get(*said..REQUEST.len() / 2).unwrap_or_default(),
        // The padding never ends.
        _ => REQUEST.get(*said..*said + 1).unwrap_or(b"x"),
    };
    if !next.is_empty() {
        match stream.write(next) {
            Ok(count) => *said += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
    }
    match stream.read(&mut [0; 512]) {
        Ok(0) => false,
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}
