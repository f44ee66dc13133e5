//! Measures a good client while strangers flood.

use std::{thread, time::Duration};

use anyhow::Result;

use super::{
    Args,
    relaying::percentile,
    servers::{PEER_IP, Starter},
    table::Results,
};
use crate::{
    clients::Via,
    flood::{Flood, Kind, reply},
    flows::{self, Direction},
    process,
    traffic::{Pace, Plan, Report},
};

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
        let mut traffic = flows::through_relay(&running.server, 1, Direction::Both, Via::Channel, PEER_IP, false)?;
        let quiet = traffic.run(&plan, |_| {})?;
        // The first flood touches memory that the server keeps.
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
