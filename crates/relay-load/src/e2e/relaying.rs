//! Measures CPU time, throughput and latency of relaying.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;

use super::{
    Args,
    servers::{CLIENT_IP, PEER_IP, Running, Starter},
    table::{Relaying, Results, median},
};
use crate::{
    clients::{self, Via},
    flows::{self, Direction},
    process, socket,
    traffic::{Pace, Plan, Report, Traffic},
};

/// A kind of traffic.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) flows: usize,
    pub(super) direction: Direction,
    pub(super) size: usize,
    pub(super) pace: Pace,
    pub(super) segments: usize,
}

pub(super) const RATE: Pace = Pace::Rate(20_000);
pub(super) const FLAT_OUT: Pace = Pace::Window(512);

const CASES: &[Case] = &[
    Case { name: "up 20k/s, 1 client", flows: 1, direction: Direction::Up, size: 200, pace: RATE, segments: 1 },
    Case { name: "up 20k/s, 100 clients", flows: 100, direction: Direction::Up, size: 200, pace: RATE, segments: 1 },
    Case {
        name: "down 20k/s, 100 clients",
        flows: 100,
        direction: Direction::Down,
        size: 200,
        pace: RATE,
        segments: 1,
    },
    Case {
        name: "both 20k/s, 100 clients",
        flows: 100,
        direction: Direction::Both,
        size: 200,
        pace: RATE,
        segments: 1,
    },
    Case { name: "pair 20k/s, 2 clients", flows: 1, direction: Direction::Pair, size: 200, pace: RATE, segments: 1 },
    Case { name: "up flat out, 1 client", flows: 1, direction: Direction::Up, size: 200, pace: FLAT_OUT, segments: 1 },
    Case {
        name: "up flat out, 100 clients",
        flows: 100,
        direction: Direction::Up,
        size: 200,
        pace: FLAT_OUT,
        segments: 1,
    },
    Case {
        name: "down flat out, 100 clients",
        flows: 100,
        direction: Direction::Down,
        size: 200,
        pace: FLAT_OUT,
        segments: 1,
    },
    Case {
        name: "up flat out, 1 client, 1200 B",
        flows: 1,
        direction: Direction::Up,
        size: 1200,
        pace: FLAT_OUT,
        segments: 1,
    },
    Case {
        name: "down flat out, 1 client, 1200 B",
        flows: 1,
        direction: Direction::Down,
        size: 1200,
        pace: FLAT_OUT,
        segments: 1,
    },
    Case {
        name: "up flat out, 100 clients, 1200 B",
        flows: 100,
        direction: Direction::Up,
        size: 1200,
        pace: FLAT_OUT,
        segments: 1,
    },
    Case {
        name: "down flat out, 100 clients, 1200 B",
        flows: 100,
        direction: Direction::Down,
        size: 1200,
        pace: FLAT_OUT,
        segments: 1,
    },
    Case {
        name: "up GSO bulk, 1 client, 1200 B",
        flows: 1,
        direction: Direction::Up,
        size: 1200,
        pace: FLAT_OUT,
        segments: 32,
    },
    Case {
        name: "down GSO bulk, 1 client, 1200 B",
        flows: 1,
        direction: Direction::Down,
        size: 1200,
        pace: FLAT_OUT,
        segments: 32,
    },
];

/// A server with flows through it.
struct Target {
    running: Running,
    traffic: Traffic,
    slices: Vec<Slice>,
}

struct Slice {
    report: Report,
    cpu_us: f64,
}

impl Target {
    fn slice(&mut self, plan: &Plan) -> Result<()> {
        let before = process::cpu(self.running.pid())?;
        let report = self.traffic.run(plan, |_| {})?;
        let cpu = process::cpu(self.running.pid())?.saturating_sub(before);
        let cpu_us = cpu.as_secs_f64() * 1e6 / report.received.max(1) as f64;
        self.slices.push(Slice { report, cpu_us });
        Ok(())
    }

    fn row(&self, case: &str, floor: Option<&Self>) -> Relaying {
        let reports: Vec<_> = self.slices.iter().map(|slice| &slice.report).collect();
        Relaying {
            ratio_to_floor: floor.map(|floor| {
                median(self.slices.iter().zip(&floor.slices).map(|(slice, floor)| slice.cpu_us / floor.cpu_us))
            }),
            ..row(case, &self.running.name, median(self.slices.iter().map(|slice| slice.cpu_us)), &reports)
        }
    }
}

/// The result of a case's slices, without a ratio.
pub(super) fn row(case: &str, server: &str, cpu_us_per_packet: f64, reports: &[&Report]) -> Relaying {
    let mut sum = Report::default();
    for report in reports {
        sum.merge(report);
    }
    let of = |value: fn(&Report) -> f64| median(reports.iter().map(|report| value(report)));
    Relaying {
        case: case.to_owned(),
        server: server.to_owned(),
        cpu_us_per_packet,
        ratio_to_floor: None,
        packets_per_second: of(|report| report.received as f64 / report.elapsed.as_secs_f64().max(1e-9)),
        lost_percent: sum.loss() * 100.0,
        corrupt: sum.corrupt + sum.duplicates,
        p50_us: of(|report| percentile(report, 50.0)),
        p99_us: of(|report| percentile(report, 99.0)),
    }
}

pub(super) fn percentile(report: &Report, percent: f64) -> f64 {
    report.latency.percentile(percent).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}

pub(super) fn measure(args: &Args, starter: &Starter, results: &mut Results) -> Result<()> {
    for case in CASES.iter().filter(|case| args.wants(case.name)) {
        measure_case(args, starter, results, case)?;
    }
    if args.wants(IDLE) {
        beside_idle(args, starter, results)?;
    }
    Ok(())
}

pub(super) fn plan(args: &Args, case: &Case) -> Plan {
    Plan {
        pace: case.pace,
        size: case.size,
        duration: Duration::from_secs_f64(args.seconds),
        segments: case.segments,
        busy: true,
    }
}

fn measure_case(args: &Args, starter: &Starter, results: &mut Results, case: &Case) -> Result<()> {
    let glue = case.segments > 1;
    let mut targets = vec![forwarder(case, |peer| starter.floor(peer))?];
    if !glue {
        let inbound = case.direction == Direction::Down;
        targets.push(forwarder(case, |peer| starter.event_loop(peer, case.flows, inbound))?);
    }
    for running in starter.all()? {
        let traffic = flows::through_relay(&running.server, case.flows, case.direction, Via::Channel, PEER_IP, glue)?;
        targets.push(Target { running, traffic, slices: Vec::new() });
    }
    let plan = plan(args, case);
    warm_up(&mut targets, &plan)?;
    for _ in 0..args.rounds {
        for target in &mut targets {
            target.slice(&plan)?;
        }
    }
    let (floor, others) = (&targets[0], &targets[1..]);
    results.relaying(floor.row(case.name, None));
    for target in others {
        results.relaying(target.row(case.name, Some(floor)));
    }
    Ok(())
}

/// A forwarder to a peer's address, started with `start`, with flows through it.
fn forwarder(case: &Case, start: impl FnOnce(SocketAddr) -> Result<(Running, Vec<SocketAddr>)>) -> Result<Target> {
    let peer = socket::bind(SocketAddr::new(PEER_IP, 0))?;
    let (running, inlets) = start(peer.local_addr()?)?;
    let traffic = flows::through_floor(&inlets, CLIENT_IP, case.flows, peer, case.segments > 1)?;
    Ok(Target { running, traffic, slices: Vec::new() })
}

/// Fills caches and buffers. The results are discarded.
fn warm_up(targets: &mut [Target], plan: &Plan) -> Result<()> {
    let short = Plan { duration: Duration::from_millis(200), ..plan.clone() };
    for target in targets {
        target.traffic.run(&short, |_| {})?;
    }
    Ok(())
}

const IDLE: &str = "one channel beside idle allocations";

/// Measures one active channel, alone and beside many idle allocations, on two processes of each server.
fn beside_idle(args: &Args, starter: &Starter, results: &mut Results) -> Result<()> {
    let case = &CASES[0];
    let plan = plan(args, case);
    for (alone, crowded) in starter.all()?.into_iter().zip(starter.all()?) {
        let peer = SocketAddr::new(PEER_IP, 9);
        let (idle, _) = clients::open_some(&crowded.server, args.allocations, 32, |_| peer)?;
        let mut targets = Vec::new();
        for running in [alone, crowded] {
            let traffic = flows::through_relay(&running.server, 1, Direction::Up, Via::Channel, PEER_IP, false)?;
            targets.push(Target { running, traffic, slices: Vec::new() });
        }
        warm_up(&mut targets, &plan)?;
        for _ in 0..args.rounds {
            for target in &mut targets {
                target.slice(&plan)?;
            }
        }
        let pairs = targets[1].slices.iter().zip(&targets[0].slices);
        let ratio = median(pairs.map(|(crowded, alone)| crowded.cpu_us / alone.cpu_us));
        let name = format!("{IDLE}: CPU beside {} against alone", idle.len());
        results.figure(&name, &targets[0].running.name, ratio, "x");
    }
    Ok(())
}
