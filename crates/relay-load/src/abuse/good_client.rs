//! A client that has done nothing wrong, beside those that have.

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

/// Where clients and the peers of all are; nobody else is there.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1));
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 2, 1));

/// Its user, which nobody else has.
const USER: usize = 1_000_000;

/// How long traffic goes on at a time.
const PART: Duration = Duration::from_secs(1);

/// What is late on a machine that has much else to do is not lost.
const STRAGGLERS: Duration = Duration::from_secs(5);

/// A client and its peer, who send each other data that is checked byte for byte.
pub(super) struct GoodClient {
    server: Server,
    traffic: Traffic,
    rate: u64,
}

impl GoodClient {
    /// `count` clients with channels, who share `rate` datagrams per second with their peer.
    ///
    /// # Errors
    ///
    /// When they cannot set up.
    pub(super) fn open(relay: &Relay, count: usize, rate: u64) -> Result<Self> {
        Self::open_at(relay, (CLIENT, PEER), USER, count, rate)
    }

    /// The same at other addresses, as another user.
    ///
    /// # Errors
    ///
    /// When they cannot set up.
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

    /// Sends for `duration`.
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
            // Whoever does harm needs a core, and so does the relay.
            busy: false,
        };
        self.traffic.run(&plan, |_| {})
    }

    /// Sends while `harm` goes on, and a little longer. `tell` is told about once a second what has come of it.
    ///
    /// # Errors
    ///
    /// When a socket fails, or `harm` cannot be done.
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

    /// Lets the allocations and channels live on.
    ///
    /// # Errors
    ///
    /// When one does not.
    pub(super) fn refresh(&mut self) -> Result<()> {
        clients::refresh(&self.server, self.traffic.clients_mut(), flows::WINDOW)
    }

    /// Throws away what has arrived and nobody asked for.
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

/// Prints what came of its traffic: nothing may be missing, changed or doubled.
pub(super) fn expect_all(figures: &mut Figures, who: &str, report: &Report) {
    figures.tell(&format!("datagrams of {who}"), report.sent);
    let (lost, is_met) = (report.lost(), report.lost_by_server == 0);
    // Nobody can tell whose packets those were.
    let goal = if report.backlog_drops == 0 { "0" } else { "0, or what the kernel dropped" };
    figures.expect(&format!("lost by {who}"), lost, goal, is_met);
    figures.tell("dropped by the kernel, of all programs", report.backlog_drops);
    let wrong = report.corrupt + report.duplicates;
    figures.expect(&format!("changed or doubled for {who}"), wrong, "0", wrong == 0);
    let p99 = report.latency.percentile(99.0).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3);
    figures.tell(&format!("p99 one-way latency of {who}"), format!("{p99:.2} ms"));
}
