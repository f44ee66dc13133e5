//! Strangers who flood a server.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use turn_client::{Allocate, Credentials, Request, TurnClient, encode_channel_data, encode_send_indication};

use crate::{client::Server, clock, socket};

/// The strangers' address. No server, client or peer uses it.
pub(crate) const STRANGER_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 3, 1));

/// A Binding request.
const BINDING: [u8; 20] = *b"\x00\x01\x00\x00\x21\x12\xA4\x42flood-tool--";

/// The number of their sockets.
const SOCKETS: usize = 64;

/// The kind of datagrams that they send.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Unauthenticated,
    WrongPassword,
    NoChannel,
    Bindings,
    SendIndications,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Unauthenticated, Self::WrongPassword, Self::NoChannel, Self::Bindings, Self::SendIndications];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unauthenticated => "flood of unauthenticated Allocates",
            Self::WrongPassword => "flood of Allocates with a wrong password",
            Self::NoChannel => "flood of data of no channel",
            Self::Bindings => "flood of Binding requests",
            Self::SendIndications => "flood of Send indications of no allocation",
        }
    }

    /// The datagram that is sent again and again.
    pub(crate) fn datagram(self, server: &Server) -> Result<Vec<u8>> {
        let mut client = TurnClient::new(Credentials::new(server.credentials.username(), "wrong"), 1);
        client.request(clock::instant(), Request::Allocate(Allocate::default()));
        let request = client.poll_transmit().context("no Allocate request")?;
        match self {
            Self::Unauthenticated => Ok(request),
            Self::WrongPassword => {
                let challenge = reply(server.address, &request)?;
                client.handle_datagram(clock::instant(), &challenge);
                client.poll_transmit().context("no answer to the challenge")
            }
            Self::NoChannel => {
                let mut data = Vec::new();
                encode_channel_data(0x4001, &[7; 200], &mut data);
                Ok(data)
            }
            Self::Bindings => Ok(BINDING.to_vec()),
            // With a FINGERPRINT, the most expensive check that a stranger can cause.
            Self::SendIndications => Ok(encode_send_indication(SocketAddr::new(STRANGER_IP, 9), &[7; 200], 7, true)),
        }
    }
}

/// A thread that floods as fast as it can.
pub(crate) struct Flood {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Counts>,
}

/// What the flood sent and received.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) replies: u64,
    pub(crate) reply_bytes: u64,
    /// How long it lasted.
    pub(crate) elapsed: Duration,
}

impl Flood {
    /// Starts a flood.
    pub(crate) fn start(server: SocketAddr, datagram: &[u8]) -> Result<Self> {
        let sockets: Vec<UdpSocket> = (0..SOCKETS)
            .map(|_| {
                let socket = socket::bind(SocketAddr::new(STRANGER_IP, 0))?;
                socket.connect(server)?;
                Ok(socket)
            })
            .collect::<std::io::Result<_>>()
            .context("cannot open the strangers' sockets")?;
        let datagram = datagram.to_vec();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread =
            thread::Builder::new().name("flood".to_owned()).spawn(move || flood(&sockets, &datagram, &stopped))?;
        Ok(Self { stop, thread })
    }

    /// Ends the flood.
    pub(crate) fn stop(self) -> Result<Counts> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the flooding thread panicked"))
    }
}

/// The server's response to `request`.
pub(crate) fn reply(server: SocketAddr, request: &[u8]) -> Result<Vec<u8>> {
    let socket = UdpSocket::bind((STRANGER_IP, 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut buffer = [0; 2048];
    for _ in 0..5 {
        socket.send(request)?;
        if let Ok(length) = socket.recv(&mut buffer) {
            return Ok(buffer[..length].to_vec());
        }
    }
    Err(anyhow!("{server} does not answer an Allocate request"))
}

fn flood(sockets: &[UdpSocket], datagram: &[u8], stop: &AtomicBool) -> Counts {
    let start = clock::now();
    let mut counts = Counts::default();
    let mut buffer = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        for socket in sockets {
            for _ in 0..16 {
                if let Ok(length) = socket.send(datagram) {
                    counts.sent += 1;
                    counts.sent_bytes += length as u64;
                }
            }
            while let Ok(length) = socket.recv(&mut buffer) {
                counts.replies += 1;
                counts.reply_bytes += length as u64;
            }
        }
    }
    counts.elapsed = clock::now() - start;
    counts
}
