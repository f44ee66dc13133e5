//! Compares Send and Data indications with ChannelData.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;

use super::{
    Args,
    relaying::{Case, FLAT_OUT, RATE, percentile, plan},
    servers::{CLIENT_IP, PEER_IP, Running, Starter},
    table::{Relaying, Results, median},
};
use crate::{
    clients::Via,
    flows::{self, Direction},
    process, socket,
    traffic::{Pace, Plan, Report, Traffic},
};

const fn case(name: &'static str, direction: Direction, pace: Pace, flows: usize) -> Case {
    Case { name, flows, direction, size: 200, pace, segments: 1 }
}

const CASES: &[Case] = &[
    case("indications: up 20k/s", Direction::Up, RATE, 100),
    case("indications: down 20k/s", Direction::Down, RATE, 100),
    case("indications: pair 20k/s", Direction::Pair, RATE, 1),
    case("indications: up flat out", Direction::Up, FLAT_OUT, 100),
    case("indications: down flat out", Direction::Down, FLAT_OUT, 100),
];

/// Flows through one process. Two processes of one binary differ, so flows that are compared go through the same one.
struct Target {
    name: String,
    process: usize,
    traffic: Traffic,
    sum: Report,
    cpu_us: Vec<f64>,
}

impl Target {
    fn new(name: String, process: usize, traffic: Traffic) -> Self {
        Self { name, process, traffic, sum: Report::default(), cpu_us: Vec::new() }
    }

    fn slice(&mut self, processes: &[Running], plan: &Plan) -> Result<()> {
        let pid = processes[self.process].pid();
        let before = process::cpu(pid)?;
        let report = self.traffic.run(plan, |_| {})?;
        let cpu = process::cpu(pid)?.saturating_sub(before);
        self.cpu_us.push(cpu.as_secs_f64() * 1e6 / report.received.max(1) as f64);
        self.sum.merge(&report);
        Ok(())
    }

    fn row(&self, case: &str) -> Relaying {
        let Report { received, elapsed, .. } = self.sum;
        Relaying {
            case: case.to_owned(),
            server: self.name.clone(),
            cpu_us_per_packet: median(self.cpu_us.iter().copied()),
            ratio_to_floor: None,
            packets_per_second: received as f64 / elapsed.as_secs_f64().max(1e-9),
            lost_percent: self.sum.loss() * 100.0,
            corrupt: self.sum.corrupt + self.sum.duplicates,
            p50_us: percentile(&self.sum, 50.0),
            p99_us: percentile(&self.sum, 99.0),
        }
    }

    /// The median, over all rounds, of the ratio of this CPU time to that of `other`.
    fn against(&self, other: &Self) -> f64 {
        median(self.cpu_us.iter().zip(&other.cpu_us).map(|(mine, others)| mine / others))
    }
}

pub(super) fn measure(args: &Args, starter: &Starter, results: &mut Results) -> Result<()> {
    for case in CASES.iter().filter(|case| args.wants(case.name)) {
        measure_case(args, starter, results, case)?;
    }
    Ok(())
}

fn measure_case(args: &Args, starter: &Starter, results: &mut Results, case: &Case) -> Result<()> {
    let mut processes = starter.all()?;
    processes.push(starter.relay_without_indications()?);
    processes.extend(starter.other_relay().transpose()?);
    let mut targets = Vec::new();
    if case.direction != Direction::Pair {
        // The bare event loop shows the CPU time that the kernel takes for any relay.
        let inbound = case.direction == Direction::Down;
        let peer = socket::bind(SocketAddr::new(PEER_IP, 0))?;
        let (running, inlets) = starter.event_loop(peer.local_addr()?, case.flows, inbound)?;
        let traffic = flows::through_floor(&inlets, CLIENT_IP, case.flows, peer, false)?;
        targets.push(Target::new(running.name.clone(), processes.len(), traffic));
        processes.push(running);
    }
    for (number, running) in processes.iter().enumerate().filter(|(_, running)| running.name != EVENT_LOOP) {
        let via: &[Via] = match running.name.as_str() {
            OURS | COTURN => &[Via::Channel, Via::Indication],
            _ => &[Via::Channel],
        };
        for &via in via {
            let traffic = flows::through_relay(&running.server, case.flows, case.direction, via, PEER_IP, false)?;
            let name = match via {
                Via::Channel => running.name.clone(),
                Via::Indication => format!("{}{INDICATIONS}", running.name),
            };
            targets.push(Target::new(name, number, traffic));
        }
    }
    let plan = plan(args, case);
    let short = Plan { duration: Duration::from_millis(200), ..plan.clone() };
    for target in &mut targets {
        target.traffic.run(&short, |_| {})?;
    }
    for round in 0..args.rounds {
        // In alternating order, so that none always follows the same other.
        if round % 2 == 0 {
            targets.iter_mut().try_for_each(|target| target.slice(&processes, &plan))?;
        } else {
            targets.iter_mut().rev().try_for_each(|target| target.slice(&processes, &plan))?;
        }
    }
    for target in &targets {
        results.relaying(target.row(case.name));
    }
    let find = |name: &str| targets.iter().find(|target| target.name == name);
    let (channels, indications) = (OURS.to_owned(), format!("{OURS}{INDICATIONS}"));
    for (what, one, other) in [
        ("CPU of indications against ChannelData", &indications, &channels),
        ("CPU against coturn's indications", &indications, &format!("{COTURN}{INDICATIONS}")),
        (
            "CPU of the bare event loop against coturn's indications",
            &EVENT_LOOP.to_owned(),
            &format!("{COTURN}{INDICATIONS}"),
        ),
        ("CPU of ChannelData, indications on against off", &channels, &"indications off".to_owned()),
        ("CPU of ChannelData against the other build", &channels, &"other build".to_owned()),
    ] {
        if let (Some(one), Some(other)) = (find(one), find(other)) {
            results.figure(&format!("{}: {what}", case.name), &one.name, one.against(other), "x");
        }
    }
    Ok(())
}

const OURS: &str = "firezone-relay";
const COTURN: &str = "coturn";
const EVENT_LOOP: &str = "event loop";
const INDICATIONS: &str = ", ind.";
