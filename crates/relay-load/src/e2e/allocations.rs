//! What allocations cost: CPU time, memory, and how fast they come and go.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;

use super::{
    Args,
    servers::{PEER_IP, Starter},
    table::Results,
};
use crate::{clients, process};

const MANY: &str = "many allocations";
const CYCLES: &str = "open and close";
/// How many clients set up at a time.
const WINDOW: usize = 32;

pub(super) fn measure(args: &Args, starter: &Starter, results: &mut Results) -> Result<()> {
    if args.wants(MANY) {
        many(args, starter, results)?;
    }
    if args.wants(CYCLES) {
        cycles(args, starter, results)?;
    }
    Ok(())
}

fn many(args: &Args, starter: &Starter, results: &mut Results) -> Result<()> {
    let count = args.allocations;
    for running in starter.all()? {
        let (name, pid) = (running.name.clone(), running.pid());
        // One cycle touches what is kept.
        clients::cycle(&running.server, WINDOW, WINDOW)?;
        let (cpu, memory) = (process::cpu(pid)?, process::resident(pid)?);
        let peer = SocketAddr::new(PEER_IP, 9);
        let (clients, opening) = clients::open_some(&running.server, count, WINDOW, |_| peer)?;
        let cpu = process::cpu(pid)?.saturating_sub(cpu);
        let opened = process::resident(pid)?;
        let mut tell = |what: &str, value: f64, unit| results.figure(&format!("{MANY}: {what}"), &name, value, unit);
        tell("live", clients.len() as f64, "");
        tell("refused", opening.failed as f64, "");
        tell("CPU per Allocate and ChannelBind", cpu.as_secs_f64() * 1e6 / clients.len().max(1) as f64, "us");
        tell("resident memory per allocation", (opened as f64 - memory as f64) / clients.len().max(1) as f64, "B");
        let again = clients::close(&running.server, clients, WINDOW, true)?;
        tell("5-tuples that could not allocate again at once", again.failed as f64, "");
        // Whatever is put off for later.
        std::thread::sleep(Duration::from_secs(12));
        let left = process::resident(pid)?.saturating_sub(memory);
        let taken = opened.saturating_sub(memory).max(1);
        tell("of its memory given back after closing", 100.0 * (1.0 - left as f64 / taken as f64), "%");
    }
    Ok(())
}

fn cycles(args: &Args, starter: &Starter, results: &mut Results) -> Result<()> {
    for running in starter.all()? {
        let cpu = process::cpu(running.pid())?;
        let outcome = clients::cycle(&running.server, args.allocations, WINDOW)?;
        let cpu = process::cpu(running.pid())?.saturating_sub(cpu);
        let mut tell =
            |what: &str, value: f64, unit| results.figure(&format!("{CYCLES}: {what}"), &running.name, value, unit);
        tell("cycles", outcome.done as f64 / outcome.elapsed.as_secs_f64().max(1e-9), "/s");
        tell("CPU per cycle", cpu.as_secs_f64() * 1e6 / outcome.done.max(1) as f64, "us");
        tell("failed cycles", outcome.failed as f64, "");
    }
    Ok(())
}
