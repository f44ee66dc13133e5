//! The relay's path through the kernel, end to end: real packets between network namespaces, and the CPU time of the whole machine, since the
//! kernel forwards in interrupts that are nobody's.

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
        // The load program has a CPU of its own, where what its datagrams set off in the kernel begins, too.
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

/// Everything that this machine can do, servers on these CPUs; the first is [`Kind::NoRelay`].
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
            // Without this one there is nothing to take off, and no network for the others either.
            Err(error) if kind == Kind::NoRelay => {
                results.left_out(name, &format!("{error:#}"));
                return Ok(None);
            }
            Err(error) => results.left_out(&format!("{name}, {}", kind.name()), &format!("{error:#}")),
        }
    }
    Ok(Some(targets))
}
