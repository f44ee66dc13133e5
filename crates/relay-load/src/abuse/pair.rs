//! Two network namespaces: one for the relay, one for this program with clients and peers.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;

use super::relay::{Relay, Starter};
use crate::{
    netns::{self, Namespace},
    started::Started,
};

/// The relay's address.
const RELAY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 255, 254));

/// The relay's interface.
const INTERFACE: &str = "relay0";

/// The first two bytes of the addresses of clients and peers. The third is at most 127, the fourth any.
pub(super) const OURS: [u8; 2] = [10, 9];

/// The relay's namespace. It ends with this value; the other one ends with this program.
pub(super) struct Pair(Namespace);

impl Pair {
    /// Creates both namespaces, and moves the calling thread and its future children into one.
    ///
    /// # Errors
    ///
    /// When this process lacks the privilege.
    pub(super) fn enter() -> Result<Self> {
        netns::enter()?;
        let other = Namespace::new()?;
        netns::connect(("client0", "10.9.0.1/16"), &other, (INTERFACE, &format!("{RELAY}/16")))?;
        netns::run("ip", "route add local 10.9.0.0/17 dev client0")?;
        Ok(Self(other))
    }

    /// Configures the relay of `starter` to serve there with the kernel's fast path.
    pub(super) fn prepare(starter: &mut Starter) {
        starter.move_to(RELAY);
        starter.set("ALLOW_PEER", "10.9.0.0/16");
        starter.set("EBPF_OFFLOADING", INTERFACE);
        starter.set("EBPF_ATTACH_MODE", "generic");
        // All clients share a few addresses.
        starter.set("REPLY_LIMIT", "1000000");
    }

    /// Starts the relay and waits until it answers.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub(super) fn start(&self, starter: &Starter) -> Result<Relay> {
        let mut relay = self.spawn(starter)?;
        relay.wait_until_up()?;
        Ok(relay)
    }

    /// Starts the relay.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub(super) fn spawn(&self, starter: &Starter) -> Result<Relay> {
        starter.spawn_by(|command| self.0.within(|| Started::spawn(command)), starter.command())
    }

    /// The number of XDP programs on the relay's interface.
    ///
    /// # Errors
    ///
    /// When `ip` fails.
    pub(super) fn programs(&self) -> Result<usize> {
        let shown = self.0.within(|| netns::run("ip", &format!("link show {INTERFACE}")))?;
        Ok(shown.matches("prog/xdp").count())
    }
}
