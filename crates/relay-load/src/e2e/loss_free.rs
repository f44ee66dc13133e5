//! Finds the highest rate without loss by bisection.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{
    Args,
    servers::{CLIENT_IP, PEER_IP, Running, Starter},
    table::{Results, median},
};
use crate::{
    clients::Via,
    flows::{self, Direction},
    process, socket,
    traffic::{Pace, Plan, Report, Traffic},
};

const NAME: &str = "highest loss-free rate";

/// Clients, direction and bytes.
const CASES: &[(&str, usize, Direction, usize)] = &[
    ("up, 100 clients, 200 B", 100, Direction::Up, 200),
    ("down, 100 clients, 200 B", 100, Direction::Down, 200),
    ("up, 1 client, 1200 B", 1, Direction::Up, 1200),
];

/// The first rate, in datagrams per second, which every server reaches.
const START: u64 = 8_000;
/// A rate that no server reaches with one thread.
const MOST: u64 = 100_000_000;
/// A search ends when the lowest rate with losses is at most a twentieth above the highest without.
const RESOLUTION: u64 = 20;
/// How many slices in a row must be without loss.
const CLEAN: u32 = 2;
/// How many slices with loss make a rate too high. One is forgiven, since another program may be the cause.
const BAD: usize = 2;
/// The most searches. The result is their median.
const SEARCHES: usize = 3;
/// The least length of a slice.
const LEAST: Duration = Duration::from_millis(500);
/// The part of the intended rate that must have been sent.
const KEPT: f64 = 0.98;

/// The result of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slice {
    Clean,
    /// The server, or the network before it, has lost something.
    Lost,
    /// The load program was too slow to send or to receive.
    Limited,
}

impl Slice {
    /// Judges a slice. `dropped` of the lost datagrams had reached the load program's own sockets.
    pub(super) fn of(report: &Report, asked: f64, dropped: u64) -> Self {
        if report.lost() > dropped {
            Self::Lost
        } else if report.lost() > 0 || (report.sent as f64) < asked * KEPT {
            Self::Limited
        } else {
            Self::Clean
        }
    }
}

/// The state of a bisection.
#[derive(Debug)]
pub(super) struct Search {
    rate: u64,
    clean: u32,
    bad: Vec<Slice>,
    /// The highest rate without loss.
    passed: u64,
    /// The lowest rate that was too high, and whether only the load program was the limit.
    failed: Option<(u64, bool)>,
}

impl Search {
    pub(super) const fn from_start() -> Self {
        Self::from(START)
    }

    const fn from(rate: u64) -> Self {
        Self { rate, clean: 0, bad: Vec::new(), passed: 0, failed: None }
    }

    /// The rate of the next slice; `None` when the search is over.
    pub(super) fn next(&self) -> Option<u64> {
        let is_over = match self.failed {
            Some((failed, _)) => failed - self.passed <= (failed / RESOLUTION).max(1),
            None => self.rate > MOST,
        };
        (!is_over).then_some(self.rate)
    }

    pub(super) fn record(&mut self, slice: Slice) {
        if slice == Slice::Clean {
            self.clean += 1;
        } else {
            self.clean = 0;
            self.bad.push(slice);
        }
        if self.clean == CLEAN {
            self.passed = self.rate;
        } else if self.bad.len() == BAD {
            self.failed = Some((self.rate, self.bad.iter().all(|slice| *slice == Slice::Limited)));
        } else {
            return;
        }
        self.clean = 0;
        self.bad.clear();
        self.rate = self.failed.map_or(self.rate * 2, |(failed, _)| u64::midpoint(self.passed, failed));
    }

    /// The next search, near the result of this one.
    pub(super) fn again(&self) -> Self {
        Self::from((self.passed / 2).max(START / 8))
    }

    /// The highest rate without loss, in datagrams per second.
    pub(super) const fn passed(&self) -> u64 {
        self.passed
    }

    /// Whether the server might reach a higher rate, because the load program was the limit.
    fn is_at_least(&self) -> bool {
        self.failed.is_none_or(|(_, is_limited)| is_limited)
    }
}

/// A server with flows through it.
struct Target {
    running: Running,
    traffic: Traffic,
    search: Search,
    found: Vec<Search>,
}

impl Target {
    fn new(running: Running, traffic: Traffic) -> Self {
        Self { running, traffic, search: Search::from(START), found: Vec::new() }
    }

    /// Runs one more slice. Returns false if the search is over.
    fn step(&mut self, duration: Duration, size: usize) -> Result<bool> {
        let Some(rate) = self.search.next() else { return Ok(false) };
        let plan = Plan { pace: Pace::Rate(rate), size, duration, segments: 1, busy: true };
        let addresses = self.traffic.addresses()?;
        let before = process::udp_drops(&addresses)?;
        let report = self.traffic.run(&plan, |_| {})?;
        let dropped = process::udp_drops(&addresses)?.saturating_sub(before);
        let slice = Slice::of(&report, rate as f64 * duration.as_secs_f64(), dropped);
        self.search.record(slice);
        Ok(true)
    }

    /// Begins the next search, near the result of the last.
    fn again(&mut self) {
        let next = self.search.again();
        self.found.push(std::mem::replace(&mut self.search, next));
    }
}

pub(super) fn measure(args: &Args, starter: &Starter, results: &mut Results) -> Result<()> {
    for (case, flows, direction, size) in CASES {
        let name = format!("{NAME}: {case}");
        if args.wants(&name) {
            measure_case(args, starter, results, &name, (*flows, *direction, *size))?;
        }
    }
    Ok(())
}

fn measure_case(
    args: &Args,
    starter: &Starter,
    results: &mut Results,
    name: &str,
    (count, direction, size): (usize, Direction, usize),
) -> Result<()> {
    let duration = Duration::from_secs_f64(args.seconds).max(LEAST);
    let peer = socket::bind((PEER_IP, 0).into()).context("cannot open the peer's socket")?;
    let (floor, inlets) = starter.floor(peer.local_addr()?)?;
    // The bare forwarder has one direction.
    let traffic = flows::through_floor(&inlets, CLIENT_IP, count, peer, false)?;
    let mut targets = vec![Target::new(floor, traffic)];
    for running in starter.all()? {
        let traffic = flows::through_relay(&running.server, count, direction, Via::Channel, PEER_IP, false)?;
        targets.push(Target::new(running, traffic));
    }
    for _ in 0..args.rounds.clamp(1, SEARCHES) {
        // In turns, so that all run under the same conditions.
        loop {
            let mut went_on = false;
            for target in &mut targets {
                went_on |= target.step(duration, size)?;
            }
            if !went_on {
                break;
            }
        }
        targets.iter_mut().for_each(Target::again);
    }
    for target in &targets {
        let (rate, at_least) = fold(&target.found);
        results.rate(name, &target.running.name, rate, at_least);
    }
    Ok(())
}

/// The median of the results of searches, in datagrams per second, and whether the true value may be higher.
pub(super) fn fold(found: &[Search]) -> (f64, bool) {
    let rate = median(found.iter().map(|search| search.passed as f64));
    // If most searches ended at the load program's limit, so did their median.
    let limited = found.iter().filter(|search| search.is_at_least()).count();
    (rate, 2 * limited > found.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result of a search, and the number of its slices, if the server loses data above the rate `server` and the load program
    /// reaches the rate `load`.
    fn search(server: u64, load: u64, mut hiccup: impl FnMut(u32) -> bool) -> (Search, u32) {
        let mut search = Search::from(START);
        let mut slices = 0;
        while let Some(rate) = search.next() {
            slices += 1;
            assert!(slices < 200, "{search:?}");
            search.record(match rate {
                _ if hiccup(slices) => Slice::Lost,
                _ if rate.min(load) > server => Slice::Lost,
                _ if rate > load => Slice::Limited,
                _ => Slice::Clean,
            });
        }
        (search, slices)
    }

    #[test]
    fn the_limit_is_found() {
        for limit in [1, 10, 999, START, 123_456, 2_000_000] {
            let (search, slices) = search(limit, u64::MAX, |_| false);
            assert!(search.passed <= limit && limit - search.passed <= limit / RESOLUTION + 1, "{limit}: {search:?}");
            assert!(!search.is_at_least() && slices < 60, "{limit}: {slices} slices");
        }
    }

    #[test]
    fn a_hiccup_is_forgiven_and_two_are_not() {
        let (quiet, _) = search(123_456, u64::MAX, |_| false);
        let (once, _) = search(123_456, u64::MAX, |slice| slice == 2);
        assert_eq!(once.passed, quiet.passed);
        let (twice, _) = search(123_456, u64::MAX, |slice| slice == 2 || slice == 3);
        assert!(twice.passed <= START);
    }

    #[test]
    fn the_load_programs_limit_is_told() {
        let (search, _) = search(500_000, 100_000, |_| false);
        assert!(search.is_at_least() && search.passed > 95_000 && search.passed <= 100_000, "{search:?}");
        let mut search = Search::from(START);
        // One slice of each kind: the server has lost data, too.
        search.record(Slice::Limited);
        search.record(Slice::Lost);
        assert_eq!(search.failed, Some((START, false)));
    }

    #[test]
    fn slices_are_judged() {
        let report = |sent, received| Report { sent, received, ..Report::default() };
        assert_eq!(Slice::of(&report(1000, 1000), 1000.0, 0), Slice::Clean);
        assert_eq!(Slice::of(&report(985, 985), 1000.0, 0), Slice::Clean);
        assert_eq!(Slice::of(&report(900, 900), 1000.0, 0), Slice::Limited);
        assert_eq!(Slice::of(&report(1000, 999), 1000.0, 0), Slice::Lost);
        assert_eq!(Slice::of(&report(1000, 990), 1000.0, 10), Slice::Limited);
        assert_eq!(Slice::of(&report(1000, 989), 1000.0, 10), Slice::Lost);
    }
}
