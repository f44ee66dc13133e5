//! Slow connections to the health endpoint, beside probes and a good client.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::{
    crowd_of_connections::{Connections, Tally},
    figures::{Figures, mib},
    good_client::{self, GoodClient},
    relay::Relay,
};
use crate::{clock, http};

/// Connections to the health endpoint, from many addresses, that say nothing, or half of a request, or a byte now and then, held and made
/// anew when the relay closes them: a probe must be answered within a second all the while, and a client that relays data must lose nothing.
#[derive(clap::Args)]
pub(super) struct Args {
    /// How many connections.
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// From how many addresses.
    #[arg(long, default_value_t = 2_000)]
    sources: u32,
    /// How long they are held and made anew, in seconds.
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// How long it takes until a connection is made anew, in seconds.
    #[arg(long, default_value_t = 1.0)]
    renew_after: f64,
    /// How often a probe asks, in seconds.
    #[arg(long, default_value_t = 0.1)]
    probe_every: f64,
    /// How many datagrams a good client and its peer send in a second meanwhile, together.
    #[arg(long, default_value_t = 1_000)]
    good_rate: u64,
    /// How long any probe may take, in seconds.
    #[arg(long, default_value_t = 1.0)]
    at_most: f64,
}

/// The address of probes. No other connection has it. It is the highest: which of many addresses had to make room once followed
/// from their order.
const PROBE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 200, 0, 1));

/// The results of probes.
#[derive(Debug, Default)]
struct Probes {
    count: u64,
    failed: u64,
    slowest: Duration,
}

impl Probes {
    fn fail(&mut self, why: &str) {
        self.failed += 1;
        println!("  a probe failed: {why}");
    }
}

pub(super) fn main(args: &Args, relay: &mut Relay) -> Result<()> {
    let [duration, renew_after, every] =
        [args.seconds, args.renew_after, args.probe_every].map(Duration::try_from_secs_f64);
    let (duration, renew_after) = (duration.context("--seconds")?, renew_after.context("--renew-after")?);
    let every = every.context("--probe-every")?;
    ensure!(args.sources > 0, "--sources is 0: give a number of addresses");
    let mut good = GoodClient::open(relay, 1, args.good_rate)?;
    let (resident, files) = (relay.resident()?, relay.open_files()?);
    let address = relay.health;
    println!("{} connections to {address} from {} addresses", args.connections, args.sources);
    let mut connections = Connections::new(address, args.connections, args.sources, renew_after)?;
    let ends = AtomicBool::new(false);
    let mut most_files = files;
    let ((tally, probes), report) = good.run_beside(
        || {
            thread::scope(|scope| {
                let prober = scope.spawn(|| probe(relay, every, &ends));
                let result = connections.hold_for(duration, |tally| println!("  {tally}"));
                ends.store(true, Ordering::Relaxed);
                let probes = prober.join().map_err(|_| anyhow!("the probe has panicked"))?;
                anyhow::Ok((result?, probes))
            })
        },
        |_| {
            most_files = most_files.max(relay.open_files()?);
            Ok(())
        },
    )?;
    let resident_after = relay.resident()?;
    drop(connections);

    let mut figures = Figures::default();
    let Tally { made, closed, most_open, .. } = tally;
    figures.tell("connections made", made);
    figures.tell("of which the relay has closed", closed);
    figures.tell("connected at most, as their makers see it", most_open);
    figures.tell("the relay's open files, at most", format!("{most_files}, {files} before"));
    figures.tell("resident memory, before and after", format!("{}, {}", mib(resident), mib(resident_after)));
    figures.tell("probes", probes.count);
    figures.expect("probes that failed", probes.failed, "0", probes.failed == 0);
    let slowest = probes.slowest.as_secs_f64();
    figures.expect(
        "slowest probe",
        format!("{slowest:.3} s"),
        &format!("at most {} s", args.at_most),
        slowest <= args.at_most && probes.count > 0,
    );
    good_client::expect_all(&mut figures, "the good client", &report);
    good.close();
    figures.finish()
}

fn probe(relay: &Relay, every: Duration, ends: &AtomicBool) -> Probes {
    let mut probes = Probes::default();
    while !ends.load(Ordering::Relaxed) {
        let start = clock::now();
        let answer = http::get_from(PROBE, relay.health, "/healthz");
        let took = clock::now() - start;
        probes.count += 1;
        probes.slowest = probes.slowest.max(took);
        match answer {
            Ok((200, _)) => {}
            Ok((status, _)) => probes.fail(&format!("answered {status}")),
            Err(error) => probes.fail(&format!("{error:#}")),
        }
        thread::sleep(every.saturating_sub(took));
    }
    probes
}
