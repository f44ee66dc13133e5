//! A good client while strangers flood.

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
use turn_client::{Allocate, Credentials, Request, TurnClient, encode_channel_data};

use super::{
    Args,
    relaying::percentile,
    servers::{PEER_IP, STRANGER_IP, Starter},
    table::Results,
};
use crate::{
    clients::Server,
    clock,
    flows::{self, Direction},
    process, socket,
    traffic::{Pace, Plan, Report},
};

/// How many sockets they have.
const SOCKETS: usize = 64;

/// What they send.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Unauthenticated,
    WrongPassword,
    NoChannel,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Unauthenticated, Self::WrongPassword, Self::NoChannel];

    const fn name(self) -> &'static str {
        match self {
            Self::Unauthenticated => "flood of unauthenticated Allocates",
            Self::WrongPassword => "flood of Allocates with a wrong password",
            Self::NoChannel => "flood of data of no channel",
        }
    }

    /// What is sent again and again.
    fn datagram(self, server: &Server) -> Result<Vec<u8>> {
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
        }
    }
}

pub(super) fn measure(args: &Args, starter: &Starter, results: &mut Results) -> Result<()> {
    for kind in Kind::ALL.into_iter().filter(|kind| args.wants(kind.name())) {
        measure_kind(args, starter, results, kind)?;
    }
    Ok(())
}

fn measure_kind(args: &Args, starter: &Starter, results: &mut Results, kind: Kind) -> Result<()> {
    let plan = Plan {
        pace: Pace::Rate(1_000),
        size: 200,
        duration: Duration::from_secs_f64(args.seconds.max(1.0)),
        segments: 1,
        // The strangers need a core, and so does the server.
        busy: false,
    };
    for running in starter.all()? {
        let (server, name) = (running.server.address, running.name.clone());
        let datagram = kind.datagram(&running.server)?;
        let mut tell =
            |what: &str, value: f64, unit| results.figure(&format!("{}: {what}", kind.name()), &name, value, unit);
        if let Kind::Unauthenticated = kind {
            let reply = reply(server, &datagram)?.len();
            tell("reply / request bytes", reply as f64 / datagram.len() as f64, "x");
        }
        let mut traffic = flows::through_relay(&running.server, 1, Direction::Both, PEER_IP, false)?;
        let quiet = traffic.run(&plan, |_| {})?;
        // First use touches memory that is kept from then on.
        Flood::start(server, &datagram).and_then(|flood| {
            thread::sleep(Duration::from_millis(300));
            flood.stop()
        })?;
        let before = process::resident(running.pid())?;
        let flood = Flood::start(server, &datagram)?;
        let mut sum = Report::default();
        for _ in 0..args.rounds {
            sum.merge(&traffic.run(&plan, |_| {})?);
        }
        let counts = flood.stop()?;
        let after = process::resident(running.pid())?;
        tell("datagrams", counts.sent as f64 / counts.elapsed.as_secs_f64(), "/s");
        tell("replies", counts.replies as f64 / counts.elapsed.as_secs_f64(), "/s");
        tell("reply bytes / bytes, over all", counts.reply_bytes as f64 / counts.sent_bytes.max(1) as f64, "x");
        tell("a good client's loss", sum.loss() * 100.0, "%");
        tell("its p99 latency", percentile(&sum, 99.0), "us");
        tell("its p99 latency when quiet", percentile(&quiet, 99.0), "us");
        tell("growth of resident memory", (after as f64 - before as f64) / 1024.0, "KiB");
    }
    Ok(())
}

/// A thread that floods as fast as it can.
struct Flood {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Counts>,
}

/// What it sent and got.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    sent: u64,
    sent_bytes: u64,
    replies: u64,
    reply_bytes: u64,
    /// How long it took.
    elapsed: Duration,
}

impl Flood {
    fn start(server: SocketAddr, datagram: &[u8]) -> Result<Self> {
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

    fn stop(self) -> Result<Counts> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the flooding thread panicked"))
    }
}

/// What the server answers to `request`.
fn reply(server: SocketAddr, request: &[u8]) -> Result<Vec<u8>> {
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
