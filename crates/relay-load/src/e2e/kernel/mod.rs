//! Measures the relay's path through the kernel end to end: with real packets between network namespaces, and as CPU time of the
//! whole machine, since the kernel forwards in interrupts that belong to no process.

mod cpu;
mod net;
mod rate;
mod target;

use anyhow::Result;

use self::target::{Kind, Target};
use super::{Args, servers::Starter, table::Results};
use crate::spare;

/// Bytes of application data, and flows in both directions.
const CASES: [(usize, usize); 4] = [(200, 1), (200, 1_000), (1_200, 1), (1_200, 1_000)];

pub(super) fn measure(args: &Args, starter: &Starter, results: &mut Results) -> Result<()> {
    let cpus = spare::own_cpus()?;
    let measured = measure_all(args, starter, results, &cpus);
    spare::pin(&cpus)?;
    measured
}

fn measure_all(args: &Args, starter: &Starter, results: &mut Results, cpus: &[usize]) -> Result<()> {
    for (size, flows) in CASES {
        let case = format!("{size} B, {flows} flow{}", if flows == 1 { "" } else { "s" });
        let [cpu, rate] = ["kernel", "kernel rate"].map(|what| format!("{what}: {case}"));
        // The load program has its own CPU, on which the kernel also begins to handle its datagrams.
        let [own, others @ ..] = cpus else { continue };
        if args.wants(&cpu)
            && let Some(targets) = start(starter, results, &cpu, flows, others)?
        {
            spare::pin(&[*own])?;
            cpu::measure(args, results, &cpu, targets, size, others)?;
        }
        if args.wants(&rate)
            && let Some(targets) = start(starter, results, &rate, flows, others)?
        {
            spare::pin(&[*own])?;
            rate::measure(args, results, &rate, targets, size)?;
        }
    }
    Ok(())
}

/// Starts all targets that this machine supports, with servers on these CPUs. The first is [`Kind::NoRelay`].
fn start(
    starter: &Starter,
    results: &mut Results,
    name: &str,
    flows: usize,
    cpus: &[usize],
) -> Result<Option<Vec<Target>>> {
    if cpus.is_empty() {
        results.left_out(name, "it needs two CPUs");
        return Ok(None);
    }
    spare::pin(cpus)?;
    let mut targets = Vec::new();
    for kind in Kind::ALL {
        match Target::start(kind, starter, flows) {
            Ok(target) => targets.push(target),
            // Without this target there is no reference, and no network for the others either.
            Err(error) if kind == Kind::NoRelay => {
                results.left_out(name, &format!("{error:#}"));
                return Ok(None);
            }
            Err(error) => results.left_out(&format!("{name}, {}", kind.name()), &format!("{error:#}")),
        }
    }
    Ok(Some(targets))
}
