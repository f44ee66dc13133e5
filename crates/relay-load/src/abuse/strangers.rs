//! Requests without credentials and junk from many addresses.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{
    amplification,
    figures::{Figures, mib},
    good_client::{self, GoodClient},
    relay::Relay,
};
use crate::{
    clock, process,
    socket::{self, Buffers, UdpSocket},
};

/// Requests without credentials, of every kind, and junk, from many addresses in turn, beside a client that has done nothing wrong: the
/// relay's memory must not grow, and that client must lose nothing.
#[derive(clap::Args)]
pub(super) struct Args {
    /// How many requests.
    #[arg(long, default_value_t = 1_000_000)]
    requests: u64,
    /// From how many addresses, up to 4 million.
    #[arg(long, default_value_t = 65_000)]
    sources: u32,
    /// How many requests are sent in a second, at most.
    #[arg(long, default_value_t = 100_000)]
    rate: u64,
    /// How many datagrams the good client and its peer send in a second, together.
    #[arg(long, default_value_t = 1_000)]
    good_rate: u64,
    /// How much the relay's memory may grow, in MiB.
    #[arg(long, default_value_t = 16)]
    growth: u64,
    /// What the junk is drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The first of the addresses. No client or peer uses this range.
const FIRST: u32 = u32::from_be_bytes([127, 64, 0, 1]);
const MOST_SOURCES: u32 = 4_000_000;

/// The number of sockets. Each sends from all addresses, so this is the number of ports of an address.
const SOCKETS: usize = 16;

/// How many requests to send before reading replies.
const BURST: u64 = 64;

/// What strangers sent and received.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    sent: u64,
    sent_bytes: u64,
    replies: u64,
    reply_bytes: u64,
    elapsed: Duration,
}

pub(super) fn main(args: &Args, relay: &mut Relay) -> Result<()> {
    ensure!((1..=MOST_SOURCES).contains(&args.sources), "--sources is {}: give 1 to {MOST_SOURCES}", args.sources);
    ensure!(args.rate > 0, "--rate is 0: give a number of requests per second");
    let datagrams = requests(relay)?;
    let mut good = GoodClient::open(relay, 1, args.good_rate)?;
    let before = relay.resident()?;
    println!(
        "{} requests of {} kinds from {} addresses, at most {} per second",
        args.requests,
        datagrams.len(),
        args.sources,
        args.rate
    );
    let (sent, mut most) = (AtomicU64::new(0), before);
    let server = relay.address;
    let (counts, report) = good.run_beside(
        || bother(args, server, &datagrams, &sent, &AtomicBool::new(false)),
        |report| {
            let resident = relay.resident()?;
            most = most.max(resident);
            let (sent, lost) = (sent.load(Ordering::Relaxed), report.lost());
            println!("  {sent} sent; the good client has lost {lost} of {}; memory {}", report.sent, mib(resident));
            Ok(())
        },
    )?;
    let after = relay.resident()?;
    most = most.max(after);

    let mut figures = Figures::default();
    figures.tell("requests", counts.sent);
    figures.tell("requests per second", format!("{:.0}", counts.sent as f64 / counts.elapsed.as_secs_f64()));
    figures.tell("time", format!("{:.1} s", counts.elapsed.as_secs_f64()));
    figures.tell("replies", counts.replies);
    figures.tell("reply bytes / request bytes", format!("{:.3}", counts.reply_bytes as f64 / counts.sent_bytes as f64));
    figures.tell("not read by the relay in time", process::udp_drops(&[relay.address])?);
    figures.tell("replies withheld by --reply-limit", relay.metric("withheld_replies_total", "")?);
    figures.tell("resident memory before", mib(before));
    let (grown, goal) = (most.saturating_sub(before), format!("below {} MiB", args.growth));
    figures.expect("growth of resident memory, at its most", mib(grown), &goal, grown < args.growth << 20);
    good_client::expect_all(&mut figures, "the good client", &report);
    good.close();
    figures.finish()
}

/// The requests of strangers, in turn. `None` stands for junk.
fn requests(relay: &Relay) -> Result<Vec<Option<Vec<u8>>>> {
    let mut all: Vec<_> = amplification::datagrams(relay)?.into_iter().map(|(_, datagram)| Some(datagram)).collect();
    all.extend([const { None }; 4]);
    Ok(all)
}

/// Sends `rate` requests per second from 65,000 addresses until `is_over`. Returns how many.
///
/// # Errors
///
/// When a socket fails.
pub(super) fn disturb(relay: &Relay, rate: u64, seed: u64, is_over: &AtomicBool) -> Result<u64> {
    let args = Args { requests: u64::MAX, sources: 65_000, rate, good_rate: 0, growth: 0, seed };
    Ok(bother(&args, relay.address, &requests(relay)?, &AtomicU64::new(0), is_over)?.sent)
}

fn bother(
    args: &Args,
    server: SocketAddr,
    datagrams: &[Option<Vec<u8>>],
    told: &AtomicU64,
    is_over: &AtomicBool,
) -> Result<Counts> {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let sockets = (0..SOCKETS).map(|_| UdpSocket::new(socket::bind(any)?, false)).collect::<std::io::Result<Vec<_>>>();
    let sockets = sockets.context("cannot open the strangers' sockets")?;
    let mut random = ChaCha8Rng::seed_from_u64(args.seed);
    let mut junk = [0; 300];
    let mut buffers = Buffers::new();
    let mut counts = Counts::default();
    let start = clock::now();
    while counts.sent < args.requests && !is_over.load(Ordering::Relaxed) {
        let elapsed = clock::now() - start;
        let due = u128::from(args.rate) * elapsed.as_micros() / 1_000_000;
        let due = u64::try_from(due).unwrap_or(u64::MAX).min(args.requests);
        for _ in 0..due.saturating_sub(counts.sent).min(BURST) {
            // Both indexes have coprime periods, so that every address sends every kind.
            let number = counts.sent;
            let source = FIRST + u32::try_from(number % u64::from(args.sources))?;
            let kind = usize::try_from(number / u64::from(args.sources) + number)? % datagrams.len();
            let datagram = match &datagrams[kind] {
                Some(datagram) => datagram,
                None => {
                    let length = random.random_range(0..junk.len());
                    random.fill_bytes(&mut junk[..length]);
                    &junk[..length]
                }
            };
            let socket = &sockets[usize::try_from(number / 7)? % SOCKETS];
            let from = IpAddr::V4(Ipv4Addr::from_bits(source));
            // A full queue loses datagrams, as any network may.
            socket.send_from(from, server, datagram).with_context(|| format!("cannot send from {from}"))?;
            counts.sent += 1;
            counts.sent_bytes += datagram.len() as u64;
        }
        told.store(counts.sent, Ordering::Relaxed);
        collect(&sockets, &mut buffers, &mut counts)?;
        if due <= counts.sent {
            thread::sleep(Duration::from_micros(200));
        }
    }
    counts.elapsed = clock::now() - start;
    // The last replies are in flight.
    thread::sleep(Duration::from_millis(500));
    collect(&sockets, &mut buffers, &mut counts)?;
    Ok(counts)
}

fn collect(sockets: &[UdpSocket], buffers: &mut Buffers, counts: &mut Counts) -> Result<()> {
    for socket in sockets {
        while socket.receive(buffers, |_, datagram| {
            counts.replies += 1;
            counts.reply_bytes += datagram.len() as u64;
        })? {}
    }
    Ok(())
}
