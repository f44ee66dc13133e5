//! A well-behaved client, whose service is measured beside harmful ones.

use std::{
    net::{IpAddr, Ipv4Addr},
    thread,
    time::Duration,
};

use anyhow::{Result, anyhow};

use super::{figures::Figures, relay::Relay};
use crate::{
    client::{Client, Server},
    clients::{self, Via},
    flows::{self, Direction},
    traffic::{Pace, Plan, Report, Traffic},
};

/// The addresses of the good clients and of their peers, which no others use.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1));
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 2, 1));

/// The user of the good clients, which no others use.
const USER: usize = 1_000_000;

/// The length of a part of the traffic.
const PART: Duration = Duration::from_secs(1);

/// How long to wait for late datagrams on a busy machine before they count as lost.
const STRAGGLERS: Duration = Duration::from_secs(5);

/// Clients and a peer that exchange data. Every byte is checked.
pub(super) struct GoodClient {
    server: Server,
    traffic: Traffic,
    rate: u64,
}

impl GoodClient {
    /// Opens `count` clients with channels that share `rate` datagrams per second with their peer.
    ///
    /// # Errors
    ///
    /// When a client cannot allocate or bind.
    pub(super) fn open(relay: &Relay, count: usize, rate: u64) -> Result<Self> {
        Self::open_at(relay, (CLIENT, PEER), USER, count, rate)
    }

    /// The same with other addresses and another user.
    ///
    /// # Errors
    ///
    /// When a client cannot allocate or bind.
    pub(super) fn open_at(
        relay: &Relay,
        (client, peer): (IpAddr, IpAddr),
        user: usize,
        count: usize,
        rate: u64,
    ) -> Result<Self> {
        let server = relay.server(client, user);
        let mut traffic = flows::through_relay(&server, count, Direction::Both, Via::Channel, peer, false)?;
        traffic.wait_for_stragglers(STRAGGLERS);
        traffic.let_network_come_and_go();
        Ok(Self { server, traffic, rate })
    }

    /// Exchanges data for `duration`.
    ///
    /// # Errors
    ///
    /// When a socket fails.
    pub(super) fn run(&mut self, duration: Duration) -> Result<Report> {
        let plan = Plan {
            pace: Pace::Rate(self.rate),
            size: 200,
            duration,
            segments: 1,
            // The harmful clients need a core, and so does the relay.
            busy: false,
        };
        self.traffic.run(&plan, |_| {})
    }

    /// Exchanges data while `harm` runs, and a little longer. Calls `tell` about once a second with the results so far.
    ///
    /// # Errors
    ///
    /// When a socket or `harm` fails.
    pub(super) fn run_beside<T: Send>(
        &mut self,
        harm: impl FnOnce() -> Result<T> + Send,
        mut tell: impl FnMut(&Report) -> Result<()>,
    ) -> Result<(T, Report)> {
        thread::scope(|scope| {
            let harm = scope.spawn(harm);
            let mut sum = Report::default();
            while !harm.is_finished() {
                sum.merge(&self.run(PART)?);
                tell(&sum)?;
            }
            let done = harm.join().map_err(|_| anyhow!("whoever does harm has panicked"))??;
            sum.merge(&self.run(PART)?);
            Ok((done, sum))
        })
    }

    /// Refreshes the allocations and channels.
    ///
    /// # Errors
    ///
    /// When one is refused.
    pub(super) fn refresh(&mut self) -> Result<()> {
        clients::refresh(&self.server, self.traffic.clients_mut(), flows::WINDOW)
    }

    /// Discards all datagrams that have arrived.
    ///
    /// # Errors
    ///
    /// When a socket fails.
    pub(super) fn discard_arrived(&mut self) -> Result<()> {
        Ok(self.traffic.discard_arrived()?)
    }

    /// The clients.
    pub(super) fn clients_mut(&mut self) -> &mut Vec<Client> {
        self.traffic.clients_mut()
    }

    /// Closes the allocations.
    pub(super) fn close(&mut self) {
        clients::end(&self.server, std::mem::take(self.traffic.clients_mut()));
    }
}

/// Prints the results: no datagram may be lost, changed or duplicated.
pub(super) fn expect_all(figures: &mut Figures, who: &str, report: &Report) {
    figures.tell(&format!("datagrams of {who}"), report.sent);
    let (lost, is_met) = (report.lost(), report.lost_by_server == 0);
    // It is unknown whose packets the kernel has dropped.
    let goal = if report.backlog_drops == 0 { "0" } else { "0, or what the kernel dropped" };
    figures.expect(&format!("lost by {who}"), lost, goal, is_met);
    figures.tell("dropped by the kernel, of all programs", report.backlog_drops);
    let wrong = report.corrupt + report.duplicates;
    figures.expect(&format!("changed or doubled for {who}"), wrong, "0", wrong == 0);
    let p99 = report.latency.percentile(99.0).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3);
    figures.tell(&format!("p99 one-way latency of {who}"), format!("{p99:.2} ms"));
}
