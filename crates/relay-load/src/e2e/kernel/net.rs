//! Network namespaces for a client, a router, a relay and a peer, as in a cloud's network.
//!
//! ```text
//! client 10.1.0.1 ---- 10.1.0.254 router 10.3.0.254 ---- 10.3.0.1 peer
//!                            10.2.0.254
//!                                 |
//!                          10.2.0.1 relay
//! ```

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
};

use anyhow::{Context as _, Result};
use relay_ebpf::{AttachMode, Config, XdpProgram};

use crate::netns::{self, Namespace};

pub(super) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 1));
pub(super) const RELAY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 2, 0, 1));
pub(super) const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 3, 0, 1));

/// The interface in each namespace but the router's. The router's interfaces are named after their other ends.
pub(super) const INTERFACE: &str = "eth0";

/// The router's interface to the relay.
const ROUTERS_END: &str = "relay";

/// The four namespaces. They are removed when this value is dropped or this program ends.
pub(super) struct Net {
    pub(super) client: Namespace,
    router: Namespace,
    pub(super) relay: Namespace,
    pub(super) peer: Namespace,
    /// A program that passes all packets.
    passing: Option<XdpProgram>,
}

impl Net {
    /// Creates the namespaces.
    ///
    /// # Errors
    ///
    /// When this process lacks the privilege, or `ip` or `ethtool` is missing.
    pub(super) fn new() -> Result<Self> {
        let net = Self {
            client: Namespace::new()?,
            router: Namespace::new()?,
            relay: Namespace::new()?,
            peer: Namespace::new()?,
            passing: None,
        };
        net.router.within(|| set("net.ipv4.ip_forward", "1"))?;
        for (number, other, name) in [(1, &net.client, "client"), (2, &net.relay, ROUTERS_END), (3, &net.peer, "peer")]
        {
            let (own, others) = (format!("10.{number}.0.254"), format!("10.{number}.0.1/24"));
            net.router
                .within(|| netns::connect((name, &format!("{own}/24")), other, (INTERFACE, &others)))
                .with_context(|| format!("cannot connect the {name}"))?;
            other.within(|| netns::run("ip", &format!("route add default via {own}")))?;
        }
        Ok(net)
    }

    /// Lets the router receive frames that an XDP program in driver mode sends at the relay's interface. A veth does so only if it
    /// has an XDP program in driver mode, too. This one passes all packets.
    ///
    /// # Errors
    ///
    /// When this machine cannot load it.
    pub(super) fn take_frames_of_driver(&mut self) -> Result<()> {
        // There are no flows, and no datagrams for these ports, so the program passes each packet at its first check.
        let config = Config {
            interfaces: vec![ROUTERS_END.to_owned()],
            mode: AttachMode::Driver,
            listen_port: 1,
            allocation_ports: 2..=2,
            max_flows: 1,
            statistics: false,
            ..Config::default()
        };
        let passing = self.router.within(|| {
            let mut passing = XdpProgram::load(&config)?;
            passing.attach(&config)?;
            Ok(passing)
        });
        self.passing = Some(passing.context("cannot have the router take what the driver sends")?);
        Ok(())
    }

    /// Puts a second router in the relay's place, through which all data between client and peer goes.
    ///
    /// # Errors
    ///
    /// When the kernel has no policy rules.
    pub(super) fn route_through_relay(&self) -> Result<()> {
        self.router.within(|| {
            netns::run("ip", &format!("route add default via {RELAY} table 100"))?;
            for interface in ["client", "peer"] {
                netns::run("ip", &format!("rule add iif {interface} lookup 100"))?;
            }
            Ok(())
        })?;
        self.relay.within(|| {
            set("net.ipv4.ip_forward", "1")?;
            // Otherwise the kernel would send ICMP redirects to the router.
            set("net.ipv4.conf.all.send_redirects", "0")?;
            set(&format!("net.ipv4.conf.{INTERFACE}.send_redirects"), "0")
        })
    }
}

fn set(name: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    fs::write(&path, value).with_context(|| format!("cannot write {value} to {path}"))
}
