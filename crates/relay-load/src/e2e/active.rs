//! Measures CPU time with so many active clients that their state does not fit in caches.

use std::time::Duration;

use anyhow::Result;

use super::{
    Args,
    relaying::FLAT_OUT,
    servers::{PEER_IP, Running, Starter},
    table::{Results, median},
};
use crate::{
    clients::Via,
    flows::{self, Direction},
    process,
    traffic::Plan,
};

const CASES: [(&str, Direction); 2] =
    [("active clients: up flat out", Direction::Up), ("active clients: down flat out", Direction::Down)];

/// Measures CPU time per datagram of this build, and of the other one if there is one. The processes run one after the other, since
/// each needs two open files for each client.
pub(super) fn measure(args: &Args, starter: &Starter, results: &mut Results) -> Result<()> {
    let plan =
        Plan { pace: FLAT_OUT, size: 200, duration: Duration::from_secs_f64(args.seconds), segments: 1, busy: true };
    for (name, direction) in CASES.into_iter().filter(|(name, _)| args.wants(name)) {
        let (mut ours, mut others) = (Vec::new(), Vec::new());
        for _ in 0..args.rounds {
            ours.push(cpu_us(args, &plan, direction, &starter.relay()?)?);
            if let Some(other) = starter.other_relay() {
                others.push(cpu_us(args, &plan, direction, &other?)?);
            }
        }
        let label = |what| format!("{name}, {} clients: {what}", args.allocations);
        results.figure(&label("CPU per datagram"), "firezone-relay", median(ours.iter().copied()), "us");
        if !others.is_empty() {
            results.figure(&label("CPU per datagram"), "other build", median(others.iter().copied()), "us");
            let ratio = median(ours.iter().zip(&others).map(|(ours, other)| ours / other));
            results.figure(&label("CPU against the other build"), "firezone-relay", ratio, "x");
        }
    }
    Ok(())
}

fn cpu_us(args: &Args, plan: &Plan, direction: Direction, running: &Running) -> Result<f64> {
    let mut traffic = flows::through_relay(&running.server, args.allocations, direction, Via::Channel, PEER_IP, false)?;
    // Fills caches and buffers.
    traffic.run(&Plan { duration: Duration::from_millis(500), ..plan.clone() }, |_| {})?;
    let before = process::cpu(running.pid())?;
    let report = traffic.run(plan, |_| {})?;
    let cpu = process::cpu(running.pid())?.saturating_sub(before);
    Ok(cpu.as_secs_f64() * 1e6 / report.received.max(1) as f64)
}
