//! Measures the cost of allocations: CPU time, memory, and the rate of opening and closing.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;

use super::{
    Args,
    servers::{PEER_IP, Starter},
    table::{Results, median},
};
use crate::{clients, process};

const MANY: &str = "many allocations";
const CYCLES: &str = "open and close";
/// How many clients set up at a time.
const WINDOW: usize = 32;
/// The most rounds for each server: opening so many allocations takes long.
const ROUNDS: usize = 3;

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
    let mut samples = Samples::default();
    for _ in 0..args.rounds.min(ROUNDS) {
        for running in starter.all()? {
            let pid = running.pid();
            // One cycle touches memory that the server keeps.
            clients::cycle(&running.server, WINDOW, WINDOW)?;
            let (cpu, memory) = (process::cpu(pid)?, process::resident(pid)?);
            let peer = SocketAddr::new(PEER_IP, 9);
            let (clients, opening) = clients::open_some(&running.server, count, WINDOW, |_| peer)?;
            let cpu = process::cpu(pid)?.saturating_sub(cpu);
            let opened = process::resident(pid)?;
            let live = clients.len().max(1) as f64;
            let mut add = |what: &str, value: f64, unit, fold| {
                samples.add(format!("{MANY}: {what}"), &running.name, value, unit, fold);
            };
            add("live", clients.len() as f64, "", median);
            add("refused", opening.failed as f64, "", most);
            add("CPU per Allocate and ChannelBind", cpu.as_secs_f64() * 1e6 / live, "us", median);
            add("resident memory per allocation", (opened as f64 - memory as f64) / live, "B", median);
            let again = clients::close(&running.server, clients, WINDOW, true)?;
            add("5-tuples that could not allocate again at once", again.failed as f64, "", most);
            // Time for deferred work, such as returning memory.
            std::thread::sleep(Duration::from_secs(12));
            let left = process::resident(pid)?.saturating_sub(memory);
            let taken = opened.saturating_sub(memory).max(1);
            add("of its memory given back after closing", 100.0 * (1.0 - left as f64 / taken as f64), "%", median);
        }
    }
    samples.tell(results);
    Ok(())
}

fn cycles(args: &Args, starter: &Starter, results: &mut Results) -> Result<()> {
    let mut samples = Samples::default();
    let servers = starter.all()?;
    for _ in 0..args.rounds.min(ROUNDS) {
        for running in &servers {
            let cpu = process::cpu(running.pid())?;
            let outcome = clients::cycle(&running.server, args.allocations, WINDOW)?;
            let cpu = process::cpu(running.pid())?.saturating_sub(cpu);
            let mut add = |what: &str, value: f64, unit, fold| {
                samples.add(format!("{CYCLES}: {what}"), &running.name, value, unit, fold);
            };
            add("cycles", outcome.done as f64 / outcome.elapsed.as_secs_f64().max(1e-9), "/s", median);
            add("CPU per cycle", cpu.as_secs_f64() * 1e6 / outcome.done.max(1) as f64, "us", median);
            add("failed cycles", outcome.failed as f64, "", most);
        }
    }
    samples.tell(results);
    Ok(())
}

/// Figures of all rounds, in the order of the first.
#[derive(Default)]
struct Samples(Vec<Series>);

/// A figure of one server, with a value for each round.
struct Series {
    name: String,
    server: String,
    unit: &'static str,
    values: Vec<f64>,
    fold: fn(Vec<f64>) -> f64,
}

impl Samples {
    fn add(&mut self, name: String, server: &str, value: f64, unit: &'static str, fold: fn(Vec<f64>) -> f64) {
        match self.0.iter_mut().find(|series| series.name == name && series.server == server) {
            Some(series) => series.values.push(value),
            None => self.0.push(Series { name, server: server.to_owned(), unit, values: vec![value], fold }),
        }
    }

    fn tell(self, results: &mut Results) {
        for Series { name, server, unit, values, fold } in self.0 {
            results.figure(&name, &server, fold(values), unit);
        }
    }
}

/// The value of the worst round.
fn most(values: Vec<f64>) -> f64 {
    values.into_iter().fold(0.0, f64::max)
}
