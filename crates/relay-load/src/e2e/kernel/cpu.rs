//! Measures the whole machine's CPU time per datagram, at one rate.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{
    super::{
        Args,
        relaying::{RATE, row},
        table::{Relaying, Results, median},
    },
    target::{Kind, Relayed, Target},
};
use crate::{
    clock,
    others::Others,
    spare::{Idle, Spare},
    traffic::{Pace, Plan, Report},
};

/// The least time without load before each round, to measure what an idle machine has left.
const LEAST_IDLE: Duration = Duration::from_millis(100);

/// The most CPU time that other programs may take in a slice that counts, as a part of one CPU.
const MOST_TAKEN: f64 = 0.02;

/// A target with its measurements.
struct Measured {
    target: Target,
    /// What it had relayed before, if it is our relay.
    before: Option<Relayed>,
    slices: Vec<Slice>,
}

struct Slice {
    report: Report,
    /// The whole machine's CPU time per datagram, in microseconds.
    machine_us: f64,
}

impl Measured {
    /// Fills caches and buffers, and lets the kernel resolve all neighbours, before the first slice.
    fn new(mut target: Target, plan: &Plan) -> Result<Self> {
        target.traffic.run(&Plan { duration: Duration::from_millis(200), ..plan.clone() }, |_| {})?;
        Ok(Self { before: target.relayed()?, target, slices: Vec::new() })
    }

    fn slice(&mut self, plan: &Plan, spare: &Spare, idle: &Idle) -> Result<Slice> {
        let before = spare.read();
        let report = self.target.traffic.run(plan, |_| {})?;
        let used = idle.used(&before, &spare.read(), report.idle_turns);
        let machine_us = used * 1e6 / report.received.max(1) as f64;
        Ok(Slice { report, machine_us })
    }

    /// The time of each slice less that of `reference` for as many datagrams, in microseconds.
    fn own_us(&self, reference: &Self) -> Vec<f64> {
        self.slices.iter().zip(&reference.slices).map(|(own, other)| own.machine_us - other.machine_us).collect()
    }

    fn row(&self, case: &str, cpu_us_per_packet: f64) -> Relaying {
        let reports: Vec<_> = self.slices.iter().map(|slice| &slice.report).collect();
        row(case, self.target.kind.name(), cpu_us_per_packet, &reports)
    }
}

/// Compares `targets` on these CPUs. The load program runs on another one.
pub(super) fn measure(
    args: &Args,
    results: &mut Results,
    name: &str,
    targets: Vec<Target>,
    size: usize,
    cpus: &[usize],
) -> Result<()> {
    let plan = Plan { pace: RATE, size, duration: Duration::from_secs_f64(args.seconds), segments: 1, busy: true };
    let rest = Plan { pace: Pace::Rate(1), duration: plan.duration.max(LEAST_IDLE), ..plan.clone() };
    let mut all = targets.into_iter().map(|target| Measured::new(target, &plan)).collect::<Result<Vec<_>>>()?;
    let spare = Spare::start(cpus).context("cannot measure the whole machine's CPU time")?;
    let mut quiet = Quiet {
        patience: Duration::try_from_secs_f64(args.wait_for_quiet).context("--wait-for-quiet")?,
        until: Duration::ZERO,
        worst: 0.0,
    };
    for round in 0..args.rounds {
        quiet.begin_round();
        let first = all.first_mut().context("there is nothing to measure")?;
        let idle = quiet.find(|| {
            let before = spare.read();
            let turns = first.target.traffic.run(&rest, |_| {})?.idle_turns;
            Ok(Idle::new(&before, &spare.read(), turns))
        })?;
        let mut measure = |measured: &mut Measured| -> Result<()> {
            let slice = quiet.find(|| measured.slice(&plan, &spare, &idle))?;
            measured.slices.push(slice);
            Ok(())
        };
        // In alternating order, so that none always follows the same other.
        if round % 2 == 0 {
            all.iter_mut().try_for_each(&mut measure)?;
        } else {
            all.iter_mut().rev().try_for_each(&mut measure)?;
        }
    }
    drop(spare);
    results.figure(&format!("{name}: other programs took, at most"), "this machine", 100.0 * quiet.worst, "%");
    tell_cpu(results, name, &all);
    tell_paths(results, name, &all)
}

/// Finds times in which other programs are idle.
struct Quiet {
    /// How long to try in a round.
    patience: Duration,
    until: Duration,
    /// The most that other programs took in a measurement that counts, as a part of one CPU.
    worst: f64,
}

impl Quiet {
    fn begin_round(&mut self) {
        self.until = clock::now() + self.patience;
    }

    /// Measures until other programs took almost nothing, or the round's time is over.
    fn find<T>(&mut self, mut measure: impl FnMut() -> Result<T>) -> Result<T> {
        loop {
            let before = Others::read()?;
            let result = measure()?;
            let taken = Others::read()?.taken_since(&before);
            if taken <= MOST_TAKEN || clock::now() > self.until {
                self.worst = self.worst.max(taken);
                return Ok(result);
            }
        }
    }
}

fn tell_cpu(results: &mut Results, name: &str, all: &[Measured]) {
    let find = |kind| all.iter().find(|measured| measured.target.kind == kind);
    let Some(reference) = find(Kind::NoRelay) else { return };
    for measured in all {
        let kind = measured.target.kind;
        let machine = median(measured.slices.iter().map(|slice| slice.machine_us));
        let own = if kind == Kind::NoRelay { machine } else { median(measured.own_us(reference)) };
        results.relaying(measured.row(name, own));
        results.figure(&format!("{name}: whole machine's CPU"), kind.name(), machine, "us");
    }
    for other in [Kind::UserSpace, Kind::Coturn] {
        let Some(others) = find(other).map(|other| other.own_us(reference)) else { continue };
        for measured in all.iter().filter(|measured| measured.target.kind.is_in_kernel()) {
            let ratio = median(measured.own_us(reference).iter().zip(&others).map(|(own, other)| own / other));
            results.figure(&format!("{name}: CPU against {}", other.name()), measured.target.kind.name(), ratio, "x");
        }
    }
}

/// Reports which part of the data the kernel has relayed.
fn tell_paths(results: &mut Results, name: &str, all: &[Measured]) -> Result<()> {
    for measured in all {
        let (Some(before), Some(after)) = (measured.before, measured.target.relayed()?) else { continue };
        let kernel = after.kernel.saturating_sub(before.kernel) as f64;
        let sum = kernel + after.user_space.saturating_sub(before.user_space) as f64;
        let percent = 100.0 * kernel / sum.max(1.0);
        results.figure(&format!("{name}: relayed in the kernel"), measured.target.kind.name(), percent, "%");
    }
    Ok(())
}
