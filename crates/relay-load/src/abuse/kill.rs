//! Kills the relay while clients relay, and restarts it.

use std::{
    net::{IpAddr, Ipv4Addr},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use turn_client::{Allocate, BlockingClient};

use super::{
    echo::Echo,
    figures::Figures,
    pair::{OURS, Pair},
    people::STANDARD,
    relay::{Relay, Starter},
};
use crate::{client::CHANNEL, clock, http};

/// `kill -9` while clients relay, and a start at once, several times: the new process must serve a new client within a second, answer those
/// of the old one as RFC 8656 says, and find nothing of it in its way. As root this is done once more with the kernel's fast path between
/// two network namespaces.
#[derive(clap::Args)]
pub(super) struct Args {
    /// How often.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How many clients there are when it is killed.
    #[arg(long, default_value_t = 20)]
    clients: usize,
    /// How long after its start a new client may be served, in seconds.
    #[arg(long, default_value_t = 1.0)]
    at_most: f64,
}

/// How long to wait for a process and for data; and how long to wait for data that should not come.
const PATIENCE: Duration = Duration::from_secs(60);
const SILENCE: Duration = Duration::from_millis(100);

/// The addresses of clients and their peer, and the network.
struct Place {
    client: IpAddr,
    peer: IpAddr,
    pair: Option<Pair>,
}

impl Place {
    fn start(&self, starter: &Starter) -> Result<Relay> {
        self.pair.as_ref().map_or_else(|| starter.start(), |pair| pair.start(starter))
    }

    fn spawn(&self, starter: &Starter) -> Result<Relay> {
        self.pair.as_ref().map_or_else(|| starter.spawn(), |pair| pair.spawn(starter))
    }
}

pub(super) fn main(args: &Args, starter: &dyn Fn() -> Result<Starter>) -> Result<()> {
    let mut figures = Figures::default();
    println!("in user space");
    let [client, peer] = [1, 2].map(|third| IpAddr::V4(Ipv4Addr::new(127, 0, third, 1)));
    let mut on_loopback = starter()?;
    with_control(&mut on_loopback);
    run(args, &on_loopback, &Place { client, peer, pair: None }, &mut figures)?;
    println!("\nwith the kernel's fast path");
    let mut between_two = starter()?;
    with_control(&mut between_two);
    Pair::prepare(&mut between_two);
    match Pair::enter() {
        Ok(pair) => {
            let [client, peer] = [1, 2].map(|third| IpAddr::V4(Ipv4Addr::new(OURS[0], OURS[1], third, 1)));
            run(args, &between_two, &Place { client, peer, pair: Some(pair) }, &mut figures)?;
        }
        Err(error) => between_two.skip("the kernel's fast path", error)?,
    }
    figures.finish()
}

fn with_control(starter: &mut Starter) {
    let mut control = std::ffi::OsString::from("unix:");
    control.push(starter.control());
    starter.set("CONTROL_ENDPOINT", control);
}

fn run(args: &Args, starter: &Starter, place: &Place, figures: &mut Figures) -> Result<()> {
    let echo = Echo::start(place.peer)?;
    let mut relay = place.start(starter)?;
    let files = relay.open_files()?;
    let (mut slowest, mut old_ones, mut left_behind) = (Duration::ZERO, Answers::default(), 0);
    for round in 0..args.rounds {
        let mut clients = (0..args.clients)
            .map(|user| served(&relay, place, user, &echo, STANDARD).with_context(|| format!("client {user}")))
            .collect::<Result<Vec<_>>>()?;
        for client in &mut clients {
            // The relay is killed with data in flight.
            (0..50).try_for_each(|_| client.send(CHANNEL, b"never mind"))?;
        }
        relay.process.signal(Signal::SIGKILL);
        let status = relay.process.wait()?;
        ensure!(!status.success(), "it has ended by itself");
        let start = clock::now();
        relay = place.spawn(starter)?;
        // Ask every few milliseconds until the new process answers.
        let mut new = loop {
            relay.ensure_running().context("the new process did not stay")?;
            let impatient = (Duration::from_millis(5) + (clock::now() - start) / 10, 3);
            match served(&relay, place, 1_000 + args.clients, &echo, impatient) {
                Ok(client) => break client,
                Err(error) if clock::now() - start > PATIENCE => return Err(error.context("no new client is served")),
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
        };
        let took = clock::now() - start;
        slowest = slowest.max(took);
        println!("  round {}: a new client was served {:.0} ms after the start", round + 1, took.as_secs_f64() * 1e3);
        let (status, _) = http::request_at(&starter.control(), "GET", "/").context("the control endpoint")?;
        ensure!(status == 404, "the control endpoint answers {status}");
        for (user, mut client) in clients.into_iter().enumerate() {
            old_ones.ask(&mut client, &echo).with_context(|| format!("old client {user}"))?;
        }
        new.refresh(Duration::ZERO)?;
        left_behind += settled_files(&relay, files)?;
    }
    figures.tell("processes killed", args.rounds);
    let (slowest, at_most) = (slowest.as_secs_f64(), args.at_most);
    let goal = format!("at most {at_most} s");
    figures.expect(
        "slowest service to a new client after a start",
        format!("{slowest:.3} s"),
        &goal,
        slowest <= at_most,
    );
    old_ones.tell(figures, u64::from(args.rounds) * args.clients as u64);
    figures.expect("files more than the first process had", left_behind, "0", left_behind == 0);
    let flows = relay.wait_for_metric("ebpf_flows", 0)?;
    figures.expect("flows in the kernel", flows, "0", flows == 0);
    if let Some(pair) = &place.pair {
        let programs = pair.programs()?;
        figures.expect("XDP programs while the last process runs", programs, "1", programs == 1);
    }
    relay.stop()?;
    if let Some(pair) = &place.pair {
        let programs = pair.programs()?;
        figures.expect("XDP programs afterwards", programs, "0", programs == 0);
    }
    let remains = starter.control().exists();
    let path = if remains { "there" } else { "gone" };
    figures.expect("the control endpoint's path, after an end in order", path, "gone", !remains);
    Ok(())
}

/// A client that has allocated, bound a channel and exchanged data.
fn served(
    relay: &Relay,
    place: &Place,
    user: usize,
    echo: &Echo,
    retransmission: (Duration, u32),
) -> Result<BlockingClient> {
    let mut client = relay.client(place.client, user, retransmission)?;
    client.allocate(Allocate::default()).context("cannot allocate")?;
    client.bind(CHANNEL, echo.address).context("cannot bind a channel")?;
    exchange(&mut client)?;
    Ok(client.with_retransmission(STANDARD.0, STANDARD.1))
}

fn exchange(client: &mut BlockingClient) -> Result<()> {
    client.send(CHANNEL, b"hello")?;
    // Data of earlier requests may arrive first.
    while let Some((_, data)) = client.receive(PATIENCE)? {
        if data == b"hello" {
            return Ok(());
        }
    }
    anyhow::bail!("data was lost")
}

/// How the new process answers clients of the old one.
#[derive(Default)]
struct Answers {
    /// Refreshes that are answered 437 ([RFC 8656, section 7.3](https://www.rfc-editor.org/rfc/rfc8656#section-7.3)).
    mismatches: u64,
    /// Echoes of data although there is no channel.
    data: u64,
    /// New allocations at the same 5-tuple that relay data.
    served: u64,
}

impl Answers {
    fn ask(&mut self, client: &mut BlockingClient, echo: &Echo) -> Result<()> {
        // Datagrams of the old process, and ICMP errors from the time without a process.
        while !matches!(client.receive(Duration::from_millis(1)), Ok(None)) {}
        let refused = client.refresh(Duration::from_secs(600)).err().and_then(|error| error.code());
        self.mismatches += u64::from(refused == Some(437));
        client.send(CHANNEL, b"of another life")?;
        self.data += u64::from(client.receive(SILENCE)?.is_some());
        client.allocate(Allocate::default()).context("cannot allocate anew")?;
        client.bind(CHANNEL, echo.address).context("cannot bind a channel anew")?;
        exchange(client)?;
        self.served += 1;
        client.refresh(Duration::ZERO)?;
        Ok(())
    }

    fn tell(&self, figures: &mut Figures, count: u64) {
        let Self { mismatches, data, served } = *self;
        figures.expect(
            "old clients whose Refresh is answered 437",
            mismatches,
            &count.to_string(),
            mismatches == count,
        );
        figures.expect("old clients whose channels still relay", data, "0", data == 0);
        figures.expect("old clients that are served anew", served, &count.to_string(), served == count);
    }
}

/// How many more files than `expected` the relay has once its clients are gone.
fn settled_files(relay: &Relay, expected: usize) -> Result<usize> {
    let mut more = usize::MAX;
    for _ in 0..100 {
        more = more.min(relay.open_files()?.saturating_sub(expected));
        if more == 0 {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(more)
}
