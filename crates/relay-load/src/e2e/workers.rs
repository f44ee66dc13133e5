//! Measures whether throughput grows with `--workers`, and what limits it.
//!
//! A machine without an idle core for a second worker cannot show that. So it is measured again with every worker limited to a part
//! of a core, as on a slower core. Then all workers have time, and only what they share limits them.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{
    Args,
    servers::{PEER_IP, Running, Starter},
    table::{Results, median},
};
use crate::{
    clients::{self, Via},
    clock,
    flows::{self, Direction},
    process,
    traffic::{Pace, Plan, Traffic},
};

const NAME: &str = "workers";
const FLOWS: usize = 100;
/// How many clients set up at a time.
const WINDOW: usize = 32;
/// Data that costs the load program little: 32 datagrams for each system call, in both directions.
const SEGMENTS: usize = 32;
const SIZE: usize = 1200;
const IN_FLIGHT: u64 = 4096;
/// A limited worker has this part of a core.
const PART: u32 = 8;
/// The numbers of limited workers: together at most half a core, so that more than a core is left for the load program.
const HELD: [usize; 3] = [1, 2, 4];
/// The prefix of the worker threads' names.
const WORKER_THREADS: &str = "worker-";

/// A relay with a number of workers, and its measurements.
struct Target {
    running: Running,
    label: String,
    traffic: Traffic,
    datagrams: Vec<Sample>,
    cycles: Vec<Sample>,
}

/// A rate, and the CPU time that it took.
struct Sample {
    per_second: f64,
    /// The relay's CPU time, in cores.
    relay: f64,
    /// This program's CPU time, in cores.
    load: f64,
}

pub(super) fn measure(args: &Args, starter: &Starter, results: &mut Results) -> Result<()> {
    if !args.wants(NAME) {
        return Ok(());
    }
    let counts = [1, args.workers.max(2)];
    let mut targets = counts.into_iter().map(|workers| Target::start(starter, workers)).collect::<Result<Vec<_>>>()?;
    for workers in HELD {
        let mut target = Target::start(starter, workers)?;
        match target.hold(workers) {
            Ok(()) => targets.push(target),
            Err(error) => {
                eprintln!("not measured: {}: {error:#}", target.label);
                break;
            }
        }
    }
    let plan = Plan {
        pace: Pace::Window(IN_FLIGHT),
        size: SIZE,
        duration: Duration::from_secs_f64(args.seconds),
        segments: SEGMENTS,
        busy: true,
    };
    for round in 0..=args.rounds {
        for target in &mut targets {
            let datagrams = target.observe(|target| Ok(target.traffic.run(&plan, |_| {})?.received))?;
            let cycles = target.observe(|target| {
                Ok(clients::cycle(&target.running.server, args.allocations / 2, WINDOW)?.done as u64)
            })?;
            // The first round fills caches.
            if round > 0 {
                target.datagrams.push(datagrams);
                target.cycles.push(cycles);
            }
        }
    }
    let (free, held) = targets.split_at(counts.len());
    for group in [free, held] {
        for target in group {
            tell(results, target, &group[0], "1,200 B in messages of 32, 100 clients", |target| &target.datagrams);
            tell(results, target, &group[0], "allocations opened and closed", |target| &target.cycles);
        }
    }
    Ok(())
}

impl Target {
    fn start(starter: &Starter, workers: usize) -> Result<Self> {
        let running = starter.relay_with(workers)?;
        let traffic = flows::through_relay(&running.server, FLOWS, Direction::Up, Via::Channel, PEER_IP, true)?;
        let label = format!("{workers} worker{}", if workers == 1 { "" } else { "s" });
        Ok(Self { running, label, traffic, datagrams: Vec::new(), cycles: Vec::new() })
    }

    /// Limits each worker to its part of a core.
    fn hold(&mut self, workers: usize) -> Result<()> {
        self.label = format!("{workers} x 1/{PART} core");
        let held = process::hold_threads(self.running.pid(), WORKER_THREADS, PART)?;
        ensure!(held == workers, "the relay has {held} threads named {WORKER_THREADS}* instead of {workers}");
        Ok(())
    }

    fn observe(&mut self, work: impl FnOnce(&mut Self) -> Result<u64>) -> Result<Sample> {
        let pids = [self.running.pid(), std::process::id()];
        let [relay, load] = pids.map(process::cpu);
        let (relay, load, start) = (relay?, load?, clock::now());
        let count = work(self)?;
        let elapsed = (clock::now() - start).as_secs_f64().max(1e-9);
        let cores = |pid, before| anyhow::Ok(process::cpu(pid)?.saturating_sub(before).as_secs_f64() / elapsed);
        Ok(Sample { per_second: count as f64 / elapsed, relay: cores(pids[0], relay)?, load: cores(pids[1], load)? })
    }
}

/// Reports the results of `target`, also relative to `one` worker.
fn tell(results: &mut Results, target: &Target, one: &Target, what: &str, samples: fn(&Target) -> &[Sample]) {
    let of = |target: &Target, value: fn(&Sample) -> f64| median(samples(target).iter().map(value));
    let per_second = of(target, |sample| sample.per_second);
    let mut tell = |what: &str, value, unit| results.figure(&format!("{NAME}: {what}"), &target.label, value, unit);
    tell(what, per_second, "/s");
    if one.label != target.label {
        tell(&format!("{what}, against 1 worker"), per_second / of(one, |sample| sample.per_second), "x");
    }
    tell(&format!("{what}: relay's CPU"), of(target, |sample| sample.relay), "cores");
    tell(&format!("{what}: load's CPU"), of(target, |sample| sample.load), "cores");
}
