//! Connections that take their time, and are made anew when they are closed.

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

/// The first of their addresses: no client, peer or probe has one of them.
const FIRST: u32 = u32::from_be_bytes([127, 48, 0, 1]);

/// What they say, a piece at a time: some nothing, some a half of it at once, some a byte whenever they are looked at.
const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: relay\r\nX-Padding: ";

/// How long all are left alone.
const PAUSE: Duration = Duration::from_millis(20);

/// How often it is told how far they are.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// How they have fared.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) made: u64,
    pub(super) closed: u64,
    /// How many are connected.
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
    /// Nobody, until then.
    Empty(Duration),
    Taken {
        stream: TcpStream,
        said: usize,
        is_connected: bool,
    },
}

/// That many places, each taken by one.
pub(super) struct Connections {
    address: SocketAddr,
    sources: u32,
    renew_after: Duration,
    places: Vec<Place>,
    tally: Tally,
}

impl Connections {
    /// Places for `count` connections to `address`, from `sources` addresses.
    ///
    /// # Errors
    ///
    /// When there are too many.
    pub(super) fn new(address: SocketAddr, count: usize, sources: u32, renew_after: Duration) -> Result<Self> {
        let all = u32::try_from(count).context("there are too many connections")?;
        let now = clock::now();
        // Not all at once: what is closed is made anew evenly, too.
        let places = (0..all).map(|number| Place::Empty(now + renew_after * number / all)).collect();
        Ok(Self { address, sources, renew_after, places, tally: Tally::default() })
    }

    /// Makes, holds and makes anew for `duration`; `tell` hears of it now and then.
    ///
    /// # Errors
    ///
    /// When a connection cannot be begun.
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

    /// Makes, holds and makes anew until `is_over`: how many were made.
    ///
    /// # Errors
    ///
    /// When a connection cannot be begun.
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

/// Begins to connect.
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

/// Says what is number `number`'s to say next; `false` if the other side has gone.
fn say_something(stream: &mut TcpStream, number: u32, said: &mut usize) -> bool {
    let next = match number % 3 {
        0 => &REQUEST[REQUEST.len()..],
        1 => REQUEST.get(*said..REQUEST.len() / 2).unwrap_or_default(),
        // The padding goes on for ever.
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
