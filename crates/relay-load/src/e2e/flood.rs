//! Strangers that ask for allocations without credentials.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use turn_client::{Allocate, Credentials, Request, TurnClient};

use super::servers::STRANGER_IP;
use crate::{clock, socket};

/// How many sockets they have.
const SOCKETS: usize = 64;

/// A thread that floods as fast as it can.
pub(super) struct Flood {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Counts>,
}

/// What it sent and got.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: u64,
    pub(super) request_bytes: u64,
    pub(super) replies: u64,
    pub(super) reply_bytes: u64,
    /// How long it took.
    pub(super) elapsed: Duration,
}

impl Flood {
    pub(super) fn start(server: SocketAddr) -> Result<Self> {
        let sockets: Vec<UdpSocket> = (0..SOCKETS)
            .map(|_| {
                let socket = socket::bind(SocketAddr::new(STRANGER_IP, 0))?;
                socket.connect(server)?;
                Ok(socket)
            })
            .collect::<std::io::Result<_>>()
            .context("cannot open the strangers' sockets")?;
        let request = request()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread =
            thread::Builder::new().name("flood".to_owned()).spawn(move || flood(&sockets, &request, &stopped))?;
        Ok(Self { stop, thread })
    }

    pub(super) fn stop(self) -> Result<Counts> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the flooding thread panicked"))
    }
}

/// One such request and what the server answers to it: bytes sent and received.
pub(super) fn one_reply(server: SocketAddr) -> Result<(usize, usize)> {
    let socket = UdpSocket::bind((STRANGER_IP, 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let request = request()?;
    let mut buffer = [0; 2048];
    for _ in 0..5 {
        socket.send(&request)?;
        if let Ok(length) = socket.recv(&mut buffer) {
            return Ok((request.len(), length));
        }
    }
    Err(anyhow!("{server} does not answer an Allocate request"))
}

fn request() -> Result<Vec<u8>> {
    let mut client = TurnClient::new(Credentials::new("", ""), 1);
    client.request(clock::instant(), Request::Allocate(Allocate::default()));
    client.poll_transmit().context("no Allocate request")
}

fn flood(sockets: &[UdpSocket], request: &[u8], stop: &AtomicBool) -> Counts {
    let start = clock::now();
    let mut counts = Counts::default();
    let mut buffer = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        for socket in sockets {
            for _ in 0..16 {
                if let Ok(length) = socket.send(request) {
                    counts.requests += 1;
                    counts.request_bytes += length as u64;
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
