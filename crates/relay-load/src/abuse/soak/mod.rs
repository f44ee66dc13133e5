//! Runs load with faults for a long time.

mod args;
mod collector;
mod faults;
mod ground;
mod log;
mod table;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};

pub(super) use self::args::Args;
use self::{faults::Fault, ground::Ground, table::Table};
use super::{
    figures::{Figures, kib_more, mib},
    relay::Starter,
};
use crate::{clock, netns, traffic::Report};

/// The planned time for a fault and the quiet after it.
const SLOT: Duration = Duration::from_secs(6);

/// The part of that time that the fault takes.
const FAULT_SHARE: f64 = 0.7;

/// How often to refresh allocations and channels. Permissions last for 300 s.
const REFRESH_EVERY: Duration = Duration::from_secs(120);

/// How often to report progress.
const TELL_EVERY: Duration = Duration::from_secs(60);

pub(super) fn main(args: &Args, starter: &dyn Fn() -> Result<Starter>) -> Result<()> {
    let duration = Duration::try_from_secs_f64(args.duration).context("--duration")?;
    ensure!(args.clients > 0 && args.rate > 0, "--clients and --rate must be above zero");
    let starter = starter()?;
    let entered = netns::enter();
    let is_alone = entered.is_ok();
    if let Err(error) = entered {
        starter.skip("faults of the machine's addresses", error)?;
    }
    let mut ground = Ground::new(args, starter)?;
    let result = soak(args, duration, is_alone, &mut ground);
    if result.is_err() {
        ground.log.print_last();
    }
    result
}

fn soak(args: &Args, duration: Duration, is_alone: bool, ground: &mut Ground) -> Result<()> {
    let faults = Fault::all(is_alone);
    let count = u32::try_from(faults.len())?;
    let rounds = (duration.as_secs_f64() / (SLOT * count).as_secs_f64()).floor().max(1.0);
    let slot = duration.div_f64(rounds * f64::from(count));
    let window = slot.mul_f64(FAULT_SHARE);
    println!("{} rounds of {count} faults, each {:.1} s of {:.1} s", rounds, window.as_secs_f64(), slot.as_secs_f64());

    let before = ground.state()?;
    let mut table = Table::new(&faults);
    let start = clock::now();
    let (mut told, mut refreshed) = (start, start);
    let mut minutes = 0;
    while clock::now() - start < duration {
        for (number, fault) in faults.iter().enumerate() {
            let (done, during) =
                run_fault(*fault, ground, window).with_context(|| format!("during \"{}\"", fault.name()))?;
            let after = ground.good.run(slot - window).with_context(|| format!("after \"{}\"", fault.name()))?;
            ground.relay.ensure_running().with_context(|| format!("after \"{}\"", fault.name()))?;
            table.add(number, done, &during, &after);
            if !fault.may_lose() && during.lost() + after.lost() > 0 {
                println!(
                    "after {:.0} s: {} lost during \"{}\" and {} after it; the relay has had {} receive overruns since it was started",
                    (clock::now() - start).as_secs_f64(),
                    during.lost(),
                    fault.name(),
                    after.lost(),
                    ground.relay.metric("receive_overruns_total", "")?
                );
            }
            if clock::now() - refreshed >= REFRESH_EVERY {
                refreshed = clock::now();
                ground.good.refresh().context("a client could not refresh")?;
            }
            if clock::now() - told >= TELL_EVERY {
                told += TELL_EVERY;
                minutes += 1;
                let state = ground.state()?;
                println!("{minutes} min: {table}; {state}");
            }
        }
    }
    let after = ground.settled_state(&before)?;
    println!();
    table.print();
    println!();
    let mut figures = Figures::default();
    figures.tell("time", format!("{:.0} s", (clock::now() - start).as_secs_f64()));
    table.judge(&mut figures, args.may_lose);
    figures.tell("lines of the relay's log", ground.log.lines());
    figures.tell("lines of it that were lost, as it says", ground.relay.metric("log_lines_lost_total", "")?);
    figures.tell("resident memory at the start", mib(before.resident));
    figures.tell("resident memory at the end", mib(after.resident));
    let grown = after.resident.saturating_sub(before.resident);
    let goal = format!("below {} MiB", args.growth);
    figures.expect("growth", kib_more(before.resident, after.resident), &goal, grown < args.growth << 20);
    figures.tell("allocations of clients that have vanished", after.allocations.saturating_sub(before.allocations));
    let (files, goal) = (after.other_files(), before.other_files());
    figures.expect("open files but those of allocations", files, &goal.to_string(), files <= goal);
    ground.stop()?;
    figures.finish()
}

/// Applies `fault` for `window`. Returns how much of it there was, and the results of the good clients.
fn run_fault(fault: Fault, ground: &mut Ground, window: Duration) -> Result<(u64, Report)> {
    let is_over = AtomicBool::new(false);
    let Ground { stage, good, relay, .. } = ground;
    thread::scope(|scope| {
        let happening = scope.spawn(|| fault.happen(stage, relay, &is_over));
        let report = good.run(window);
        is_over.store(true, Ordering::Relaxed);
        let done = happening.join().map_err(|_| anyhow!("whoever makes faults has panicked"))??;
        Ok((done, report?))
    })
}
