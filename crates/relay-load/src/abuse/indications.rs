//! Clients that use indications only, beside floods.

use std::{
    net::{IpAddr, Ipv4Addr},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::relay::Relay;
use crate::{
    clients::{self, Via},
    flood::{Flood, Kind},
    flows::{self, Direction},
    traffic::{Pace, Plan, Report},
};

/// A client that sends and receives by indications alone, as Firefox does for ever, while strangers flood as fast as they can, one
/// kind of datagram after the other.
#[derive(clap::Args)]
pub(super) struct Args {
    /// How many datagrams the client and its peer send in a second, together.
    #[arg(long, default_value_t = 1_000)]
    rate: u64,
    /// How many such clients share that rate.
    #[arg(long, default_value_t = 1)]
    clients: usize,
    /// How long each flood lasts, in seconds.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// What the client's data goes in.
    #[arg(long, value_enum, default_value = "indication")]
    via: Via,
}

pub(super) fn main(args: &Args, relay: &Relay) -> Result<()> {
    let server = relay.server(IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1)), 0);
    let plan = Plan {
        pace: Pace::Rate(args.rate),
        size: 200,
        duration: Duration::try_from_secs_f64(args.seconds).context("--seconds")?,
        segments: 1,
        // The strangers need a core, and so does the server.
        busy: false,
    };
    let peer = IpAddr::V4(Ipv4Addr::new(127, 0, 2, 1));
    let mut traffic = flows::through_relay(&server, args.clients, Direction::Both, args.via, peer, false)?;
    print("nobody floods", None, &traffic.run(&plan, |_| {})?);
    for kind in Kind::ALL {
        let flood = Flood::start(server.address, &kind.datagram(&server)?)?;
        // The flood has filled all queues by now.
        thread::sleep(Duration::from_millis(500));
        let report = traffic.run(&plan, |_| {});
        let counts = flood.stop()?;
        print(kind.name(), Some(counts.sent as f64 / counts.elapsed.as_secs_f64()), &report?);
    }
    clients::end(&server, traffic.into_clients());
    Ok(())
}

fn print(what: &str, rate: Option<f64>, report: &Report) {
    let rate = rate.map_or_else(String::new, |rate| format!(" ({rate:.0} per second)"));
    let millis = |percent| report.latency.percentile(percent).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3);
    println!(
        "{what}{rate}:\n  sent {}, lost {} ({:.2} %), p50 {:.2} ms, p99 {:.2} ms",
        report.sent,
        report.lost(),
        report.loss() * 100.0,
        millis(50.0),
        millis(99.0)
    );
}
