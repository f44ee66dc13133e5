//! The configuration of the program.

use std::ops::RangeInclusive;

use super::{OffloadError, clock};
use crate::Settings;

/// How to load and attach the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The interfaces to attach to, by name.
    pub interfaces: Vec<String>,
    /// How to attach.
    pub mode: AttachMode,
    /// The UDP port that clients send to.
    pub listen_port: u16,
    /// The range of allocation ports.
    pub allocation_ports: RangeInclusive<u16>,
    /// How to find the next hop of a packet.
    pub next_hop: NextHop,
    /// The size of the flow map. Each channel takes two flows, and so does each peer of indications. The memory, about 200 bytes
    /// a flow, is allocated at once.
    pub max_flows: u32,
    /// Whether to count forwarded packets.
    pub statistics: bool,
    /// Whether to accept frames in several buffers. `None` to decide by the interfaces' MTU, and to do without if the kernel
    /// does not support them (before Linux 5.18).
    pub multi_buffer: Option<bool>,
    /// How many packets a CPU forwards between two `STATS` events. Rounded up to a power of two.
    pub packets_per_event: u32,
}

impl Default for Config {
    /// No interface, TURN's default ports, and room for 65,536 channels.
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            mode: AttachMode::default(),
            listen_port: 3478,
            allocation_ports: 49152..=65535,
            next_hop: NextHop::default(),
            max_flows: 131_072,
            statistics: true,
            multi_buffer: None,
            packets_per_event: 1024,
        }
    }
}

/// How the program is attached to an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AttachMode {
    /// In the driver: fast, but not all drivers support it.
    #[default]
    Driver,
    /// In the network stack: works with all drivers, but only after the kernel has allocated its own packet structures.
    Generic,
}

/// How to find the Ethernet address that a packet goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NextHop {
    /// Look it up in the host's routing and neighbour tables.
    #[default]
    RoutingTable,
    /// Send to the Ethernet address that the packet came from, by the same interface. Correct if the host has only one router, and
    /// hardly faster. Needs no forwarding on the loopback interface.
    AnswerSender,
}

impl Config {
    pub(super) fn check(&self) -> Result<(), OffloadError> {
        let invalid = |what| Err(OffloadError::Config(what));
        if self.listen_port == 0 || *self.allocation_ports.start() == 0 {
            return invalid("port 0 cannot be relayed");
        }
        if self.allocation_ports.is_empty() {
            return invalid("the range of allocation ports is empty");
        }
        if self.max_flows == 0 {
            return invalid("the flow map has to have room for a flow");
        }
        if !(1..=1 << 31).contains(&self.packets_per_event) {
            return invalid("packets per event are from 1 to 2147483648");
        }
        Ok(())
    }

    pub(super) fn settings(&self) -> Settings {
        Settings {
            listen_port: self.listen_port,
            lowest_port: *self.allocation_ports.start(),
            highest_port: *self.allocation_ports.end(),
            look_up_next_hop: u8::from(self.next_hop == NextHop::RoutingTable),
            statistics: u8::from(self.statistics),
            event_mask: self.packets_per_event.next_power_of_two() - 1,
            period: clock::period(),
            multi_buffer: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_turn() {
        let config = Config::default();
        assert!(config.check().is_ok());
        assert_eq!(config.settings().listen_port, 3478);
        assert_eq!((config.settings().lowest_port, config.settings().highest_port), (49152, 65535));
        assert_eq!(config.settings().event_mask, 1023);
    }

    #[test]
    fn nonsense_is_refused() {
        let default = Config::default;
        for config in [
            Config { listen_port: 0, ..default() },
            #[expect(clippy::reversed_empty_ranges, reason = "what is refused")]
            Config { allocation_ports: 5..=4, ..default() },
            Config { allocation_ports: 0..=4, ..default() },
            Config { max_flows: 0, ..default() },
            Config { packets_per_event: 0, ..default() },
        ] {
            assert!(matches!(config.check(), Err(OffloadError::Config(_))), "{config:?}");
        }
    }

    #[test]
    fn events_come_every_power_of_two_packets() {
        for (packets, mask) in [(1, 0), (2, 1), (1000, 1023), (1 << 31, (1 << 31) - 1)] {
            assert_eq!(Config { packets_per_event: packets, ..Config::default() }.settings().event_mask, mask);
        }
    }
}
