//! Two network namespaces: the relay's, and this program's with the clients and peers.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;

use super::relay::{Relay, Starter};
use crate::{
    netns::{self, Namespace},
    started::Started,
};

/// Where the relay is.
const RELAY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 255, 254));

/// Its interface.
const INTERFACE: &str = "relay0";

/// Clients and peers have addresses of these two bytes, a third one up to 127, and any last one.
pub(super) const OURS: [u8; 2] = [10, 9];

/// The relay's namespace. It goes with this, and ours with this program.
pub(super) struct Pair(Namespace);

impl Pair {
    /// Makes both, and puts the calling thread, and what it starts from now on, into one.
    ///
    /// # Errors
    ///
    /// When this process may not.
    pub(super) fn enter() -> Result<Self> {
        netns::enter()?;
        let other = Namespace::new()?;
        netns::connect(("client0", "10.9.0.1/16"), &other, (INTERFACE, &format!("{RELAY}/16")))?;
        netns::run("ip", "route add local 10.9.0.0/17 dev client0")?;
        Ok(Self(other))
    }

    /// Has the relay of `starter` serve there, with the kernel's fast path.
    pub(super) fn prepare(starter: &mut Starter) {
        starter.move_to(RELAY);
        starter.set("ALLOW_PEER", "10.9.0.0/16");
        starter.set("EBPF_OFFLOADING", INTERFACE);
        starter.set("EBPF_ATTACH_MODE", "generic");
        // All clients are behind a few addresses.
        starter.set("REPLY_LIMIT", "1000000");
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub(super) fn start(&self, starter: &Starter) -> Result<Relay> {
        let mut relay = self.spawn(starter)?;
        relay.wait_until_up()?;
        Ok(relay)
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub(super) fn spawn(&self, starter: &Starter) -> Result<Relay> {
        starter.spawn_by(|command| self.0.within(|| Started::spawn(command)), starter.command())
    }

    /// How many XDP programs are attached to the relay's interface.
    ///
    /// # Errors
    ///
    /// When `ip` does not tell.
    pub(super) fn programs(&self) -> Result<usize> {
        let shown = self.0.within(|| netns::run("ip", &format!("link show {INTERFACE}")))?;
        Ok(shown.matches("prog/xdp").count())
    }
}
