//! Clients that allocate, exchange data and delete in many cycles, after which nothing may be left.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use turn_client::{Allocate, BlockingClient};

use super::{
    echo::Echo,
    figures::{Figures, kib_more, mib},
    pair::{self, Pair},
    people::STANDARD,
    relay::{LOWEST_PORT, Relay, Starter},
};
use crate::{client::CHANNEL, clock, process};

/// Clients that allocate, bind a channel, exchange data and delete, again and again, each with a socket of its own: no port,
/// file, byte or flow may stay behind. As root this is done twice: in user space, and with the kernel's fast path between two network
/// namespaces. Allocations that are left to lapse are no part of it, since none lapses before ten minutes.
#[derive(clap::Args)]
pub(super) struct Args {
    /// How many cycles.
    #[arg(long, default_value_t = 10_000)]
    cycles: u64,
    /// How many cycles before it is counted what there is.
    #[arg(long, default_value_t = 1_000)]
    warm_up: u64,
    /// How many clients there are at a time.
    #[arg(long, default_value_t = 8)]
    clients: u64,
    /// How many ports the relay has: a port that is lost is soon missed.
    #[arg(long, default_value_t = 64)]
    ports: u16,
    /// How much the relay's memory may grow after the first cycles, in KiB.
    #[arg(long, default_value_t = 512)]
    growth: u64,
}

/// The number of users and addresses. All occur before the first count, since the relay remembers the totals of the last 10,000
/// users, and limits replies by address.
const CLIENTS: u64 = 500;

/// How many datagrams to exchange in each cycle, and how long to wait for each.
const EXCHANGES: u8 = 4;
const ECHO_PATIENCE: Duration = Duration::from_secs(10);

/// How often to count open files, and the time between counts.
const FILE_LOOKS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// The addresses of clients and peer.
struct Place {
    name: &'static str,
    /// The first two bytes of clients' addresses.
    clients: [u8; 2],
    /// How many values the third byte takes: each is a prefix.
    prefixes: u64,
    peer: IpAddr,
    is_in_kernel: bool,
}

const IN_USER_SPACE: Place = Place {
    name: "in user space",
    clients: [127, 20],
    prefixes: 200,
    peer: IpAddr::V4(Ipv4Addr::new(127, 0, 2, 1)),
    is_in_kernel: false,
};

const IN_KERNEL: Place = Place {
    name: "in the kernel",
    clients: pair::OURS,
    prefixes: 1,
    peer: IpAddr::V4(Ipv4Addr::new(10, 9, 2, 1)),
    is_in_kernel: true,
};

pub(super) fn main(args: &Args, starter: &dyn Fn() -> Result<Starter>) -> Result<()> {
    ensure!(
        args.clients > 0 && u64::from(args.ports) > args.clients,
        "--ports must be above --clients, which is above 0"
    );
    let mut figures = Figures::default();
    let mut in_user_space = starter()?;
    limit_ports(&mut in_user_space, args);
    let relay = in_user_space.start()?;
    run(args, &IN_USER_SPACE, relay, &mut figures)?;
    println!();
    let mut in_kernel = starter()?;
    limit_ports(&mut in_kernel, args);
    Pair::prepare(&mut in_kernel);
    match Pair::enter().and_then(|pair| Ok((pair.start(&in_kernel)?, pair))) {
        Ok((relay, _pair)) => run(args, &IN_KERNEL, relay, &mut figures)?,
        Err(error) => in_kernel.skip("cycles with the kernel's fast path", error)?,
    }
    figures.finish()
}

fn limit_ports(starter: &mut Starter, args: &Args) {
    starter.set("HIGHEST_PORT", (LOWEST_PORT - 1).saturating_add(args.ports).to_string());
}

fn run(args: &Args, place: &Place, mut relay: Relay, figures: &mut Figures) -> Result<()> {
    println!("{} cycles {}, after {} that do not count", args.cycles, place.name, args.warm_up);
    let echo = Echo::start(place.peer)?;
    let numbers = AtomicU64::new(0);
    cycle_until(args, place, &relay, &echo, &numbers, args.warm_up)?;
    relay.wait_for_metric("active_allocations", 0)?;
    let before = State::of(&relay)?;
    let start = clock::now();
    cycle_until(args, place, &relay, &echo, &numbers, args.warm_up + args.cycles)?;
    let elapsed = clock::now() - start;
    relay.wait_for_metric("active_allocations", 0)?;
    relay.ensure_running()?;
    let after = State::of(&relay)?;
    let ports = allocate_all(args, place, &relay)?;

    figures.tell("cycles", args.cycles);
    figures.tell("cycles per second", format!("{:.0}", args.cycles as f64 / elapsed.as_secs_f64()));
    figures.tell("resident memory after the first cycles", mib(before.resident));
    let (grown, goal) = (after.resident.saturating_sub(before.resident), format!("below {} KiB", args.growth));
    figures.expect(
        "growth of resident memory",
        kib_more(before.resident, after.resident),
        &goal,
        grown < args.growth << 10,
    );
    let goal = format!("{} at most", before.files);
    figures.expect("open files", after.files, &goal, after.files <= before.files);
    figures.expect("ports that can be allocated", ports, &args.ports.to_string(), ports == u64::from(args.ports));
    for (name, metric) in [
        ("allocations", "active_allocations"),
        ("channels", "active_channels"),
        ("permissions", "active_permissions"),
        ("flows in the kernel", "ebpf_flows"),
    ] {
        let left = relay.wait_for_metric(metric, 0)?;
        figures.expect(&format!("{name} at the end"), left, "0", left == 0);
    }
    let drops = process::udp_drops(&[relay.address])?;
    figures.tell("not read by the relay in time", drops);
    if place.is_in_kernel {
        let bytes = relay.metric("data_relayed_ebpf_bytes_total", "")?;
        figures.expect("bytes relayed by the kernel", bytes, "above 0", bytes > 0);
    }
    relay.stop()
}

/// What the relay uses.
struct State {
    resident: u64,
    files: usize,
}

impl State {
    fn of(relay: &Relay) -> Result<Self> {
        // The connection for the metrics may still be open.
        let mut files = relay.open_files()?;
        for _ in 0..FILE_LOOKS {
            thread::sleep(PAUSE);
            files = files.min(relay.open_files()?);
        }
        Ok(Self { resident: relay.resident()?, files })
    }
}

/// Runs cycles until there were `total`.
fn cycle_until(args: &Args, place: &Place, relay: &Relay, echo: &Echo, numbers: &AtomicU64, total: u64) -> Result<()> {
    let failed = AtomicBool::new(false);
    thread::scope(|scope| {
        let work = || -> Result<()> {
            while !failed.load(Ordering::Relaxed) {
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                if number >= total {
                    break;
                }
                cycle(place, relay, echo.address, number)
                    .inspect_err(|_| failed.store(true, Ordering::Relaxed))
                    .with_context(|| format!("cycle {number}"))?;
            }
            Ok(())
        };
        let workers: Vec<_> = (0..args.clients).map(|_| scope.spawn(work)).collect();
        let mut told = clock::now();
        while workers.iter().any(|worker| !worker.is_finished()) {
            thread::sleep(Duration::from_millis(20));
            if clock::now() - told >= Duration::from_secs(2) {
                told = clock::now();
                println!("  {} cycles; memory {}", numbers.load(Ordering::Relaxed).min(total), mib(relay.resident()?));
            }
        }
        numbers.store(total, Ordering::Relaxed);
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow!("a client has panicked"))?)
    })
}

/// The client of cycle `number`.
fn client(place: &Place, relay: &Relay, number: u64) -> Result<BlockingClient> {
    let [a, b] = place.clients;
    let number = number % CLIENTS;
    let (prefix, host) = (u8::try_from(number % place.prefixes)?, u8::try_from(1 + number / place.prefixes % 64)?);
    relay.client(IpAddr::V4(Ipv4Addr::new(a, b, prefix, host)), usize::try_from(number)?, STANDARD)
}

fn cycle(place: &Place, relay: &Relay, echo: SocketAddr, number: u64) -> Result<()> {
    let mut client = client(place, relay, number)?;
    client.allocate(Allocate::default()).context("cannot allocate")?;
    client.bind(CHANNEL, echo).context("cannot bind a channel")?;
    for exchange in 0..EXCHANGES {
        let payload = [&number.to_be_bytes()[..], &[exchange; 92]].concat();
        client.send(CHANNEL, &payload)?;
        let echoed = client.receive(ECHO_PATIENCE)?.context("data was lost")?;
        ensure!(echoed == (CHANNEL, payload), "other data came back");
    }
    client.refresh(Duration::ZERO).context("cannot delete")?;
    Ok(())
}

/// Runs cycles one after the other until `is_over`. Returns how many.
///
/// # Errors
///
/// When a client is not served.
pub(super) fn disturb(relay: &Relay, is_over: &AtomicBool) -> Result<u64> {
    let echo = Echo::start(IN_USER_SPACE.peer)?;
    let mut count = 0;
    while !is_over.load(Ordering::Relaxed) {
        cycle(&IN_USER_SPACE, relay, echo.address, count).with_context(|| format!("client {count}"))?;
        count += 1;
    }
    Ok(count)
}

/// How many clients can have an allocation at the same time. Deletes them at the end.
fn allocate_all(args: &Args, place: &Place, relay: &Relay) -> Result<u64> {
    let mut clients = Vec::new();
    let first = args.warm_up + args.cycles;
    for number in 0..u64::from(args.ports) {
        let mut client = client(place, relay, first + number)?;
        if client.allocate(Allocate::default()).is_ok() {
            clients.push(client);
        }
    }
    let count = clients.len() as u64;
    clients.iter_mut().for_each(|client| _ = client.refresh(Duration::ZERO));
    Ok(count)
}
