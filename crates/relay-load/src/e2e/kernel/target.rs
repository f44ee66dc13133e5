//! The targets that are compared, each in its own network.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::{
    super::servers::{Running, Site, Starter},
    net::{CLIENT, INTERFACE, Net, PEER, RELAY},
};
use crate::{
    clients::Via,
    flows::{self, Direction},
    http, process, socket,
    traffic::{Pace, Plan, Report, Traffic},
};

const SITE: Site = Site { server: RELAY, client: CLIENT };

/// The address of our relay's metrics, in its own namespace.
const METRICS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// What relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing: datagrams pass the router once. This leaves the costs of the load program and of the network.
    NoRelay,
    /// Nothing, but a second router is in the relay's place, and datagrams pass the first one twice.
    SecondRouter,
    Driver,
    Generic,
    UserSpace,
    Coturn,
}

impl Kind {
    pub(super) const ALL: [Self; 6] =
        [Self::NoRelay, Self::SecondRouter, Self::Driver, Self::Generic, Self::UserSpace, Self::Coturn];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::NoRelay => "no relay",
            Self::SecondRouter => "second router",
            Self::Driver => "kernel, driver",
            Self::Generic => "kernel, generic",
            Self::UserSpace => "user space",
            Self::Coturn => "coturn",
        }
    }

    /// Whether the kernel relays.
    pub(super) const fn is_in_kernel(self) -> bool {
        matches!(self, Self::Driver | Self::Generic)
    }

    /// Starts it in the calling thread's network.
    fn start(self, starter: &Starter) -> Result<Option<Running>> {
        let metrics = METRICS.to_string();
        let relay = |options: &[&str]| {
            let common = ["--health-check-addr", &metrics, "--control-endpoint", "off"];
            starter.relay_at(self.name(), SITE, &[&common, options].concat()).map(Some)
        };
        match self {
            Self::NoRelay | Self::SecondRouter => Ok(None),
            Self::Driver => relay(&["--ebpf-offloading", INTERFACE, "--ebpf-attach-mode", "driver"]),
            Self::Generic => relay(&["--ebpf-offloading", INTERFACE, "--ebpf-attach-mode", "generic"]),
            Self::UserSpace => relay(&[]),
            Self::Coturn => {
                let program = starter.coturn.as_ref().context("this machine has no coturn")?;
                starter.coturn_at(program, SITE).map(Some)
            }
        }
    }
}

/// A target with flows through it.
pub(super) struct Target {
    pub(super) kind: Kind,
    running: Option<Running>,
    pub(super) traffic: Traffic,
    net: Net,
}

/// Bytes of application data that our relay has relayed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Relayed {
    pub(super) kernel: u64,
    pub(super) user_space: u64,
}

impl Target {
    /// Starts a target with `flows` in both directions. Servers run on the calling thread's CPUs.
    ///
    /// # Errors
    ///
    /// When this machine does not support it.
    pub(super) fn start(kind: Kind, starter: &Starter, flows: usize) -> Result<Self> {
        let mut net = Net::new()?;
        match kind {
            Kind::Driver => net.take_frames_of_driver()?,
            Kind::SecondRouter => net.route_through_relay()?,
            _ => {}
        }
        let running = net.relay.within(|| kind.start(starter))?;
        let peer = || socket::bind(SocketAddr::new(PEER, 0)).context("cannot open the peer's socket");
        let peer = net.peer.within(peer)?;
        let traffic = net.client.within(|| match &running {
            Some(Running { server, .. }) => {
                flows::through_relay_to(server, flows, Direction::Both, Via::Channel, peer, false)
            }
            None => flows::without_relay(CLIENT, flows, peer),
        })?;
        Ok(Self { kind, running, traffic, net })
    }

    /// Runs traffic at `rate`. Returns the report, and how many of the lost datagrams had reached the load program's own sockets.
    pub(super) fn at_rate(&mut self, rate: u64, duration: Duration, size: usize) -> Result<(Report, u64)> {
        let plan = Plan { pace: Pace::Rate(rate), size, duration, segments: 1, busy: true };
        let before = self.drops()?;
        let report = self.traffic.run(&plan, |_| {})?;
        Ok((report, self.drops()?.saturating_sub(before)))
    }

    fn drops(&self) -> Result<u64> {
        let (peer, clients): (Vec<_>, Vec<_>) =
            self.traffic.addresses()?.into_iter().partition(|address| address.ip() == PEER);
        let at_clients = self.net.client.within(|| process::udp_drops(&clients))?;
        Ok(at_clients + self.net.peer.within(|| process::udp_drops(&peer))?)
    }

    /// What it has relayed so far, if it is our relay.
    ///
    /// # Errors
    ///
    /// When the metrics cannot be read.
    pub(super) fn relayed(&self) -> Result<Option<Relayed>> {
        if self.running.is_none() || self.kind == Kind::Coturn {
            return Ok(None);
        }
        let (_, text) = self.net.relay.within(|| http::get(METRICS, "/metrics")).context("a relay tells no metrics")?;
        let sum = |name| http::sum(&text, name, "");
        let kernel = sum("data_relayed_ebpf_bytes_total");
        Ok(Some(Relayed { kernel, user_space: sum("data_relayed_userspace_bytes_total") }))
    }
}
