//! Converts flows to the addresses that packets carry on this machine.

use std::net::{IpAddr, SocketAddr};

use relay_ebpf::Encapsulation;
use relay_server::{Arriving, Flow, FlowKey, Leaving, Via};

use crate::addresses::{AddressState, FamilyState};

/// This machine's addresses as a data path below the sockets needs them: as packets carry them here, inside a NAT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalAddresses {
    /// The IPv4 address in packets of allocations; `None` if IPv4 is not served.
    pub(crate) v4: Option<IpAddr>,
    /// See [`Self::v4`].
    pub(crate) v6: Option<IpAddr>,
    /// The port that clients send to.
    pub(crate) listen_port: u16,
    /// All addresses of this relay, including public ones.
    pub(crate) own: Vec<IpAddr>,
    /// Whether an option sets [`Self::v4`].
    pub(crate) is_v4_given: bool,
    /// Whether an option sets [`Self::v6`].
    pub(crate) is_v6_given: bool,
}

impl LocalAddresses {
    /// Replaces the relay's addresses. Returns whether that changes the packets.
    pub(super) fn update(&mut self, addresses: &AddressState) -> bool {
        let local =
            |family: Option<FamilyState>| family.map(|family| family.local).filter(|local| !local.is_loopback());
        let updated = Self {
            v4: if self.is_v4_given { self.v4 } else { local(addresses.v4) },
            v6: if self.is_v6_given { self.v6 } else { local(addresses.v6) },
            own: addresses.own.clone(),
            ..*self
        };
        let changes = *self != updated;
        *self = updated;
        changes
    }

    /// `flow` with all addresses. `None` if it stays on this machine, where the kernel delivers packets itself, or if a family has
    /// no address.
    pub(super) fn complete(&self, flow: &Flow) -> Option<relay_ebpf::Flow> {
        let remote = flow.key.remote;
        if self.is_here(remote.ip()) || self.is_here(flow.to.ip()) {
            return None;
        }
        let local = SocketAddr::new(self.address(flow.arrives, remote)?, flow.key.local_port);
        let source_port = match flow.leaves {
            Via::Listener(_) => self.listen_port,
            Via::Relay(port) => port.get(),
        };
        Some(relay_ebpf::Flow {
            remote,
            local,
            arrives_in: match flow.key.carries {
                Arriving::Bare => Encapsulation::Bare,
                Arriving::Channel(channel) => Encapsulation::Channel(channel.get()),
                // The peer is in `flow.to`: for an indication it is the destination.
                Arriving::Send(_) => Encapsulation::Indication,
            },
            source: SocketAddr::new(self.address(flow.leaves, flow.to)?, source_port),
            destination: flow.to,
            leaves_in: match flow.leaves_in {
                Leaving::Bare => Encapsulation::Bare,
                Leaving::Channel(channel) => Encapsulation::Channel(channel.get()),
                Leaving::Data => Encapsulation::Indication,
            },
        })
    }

    /// The local address of `via` in packets from or to `remote`.
    fn address(&self, via: Via, remote: SocketAddr) -> Option<IpAddr> {
        match via {
            Via::Listener(local) => Some(local),
            Via::Relay(_) if remote.is_ipv4() => self.v4,
            Via::Relay(_) => self.v6,
        }
    }

    fn is_here(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.own.contains(&address)
    }
}

/// The key of a flow in the program's table.
pub(super) fn complete_key(key: &FlowKey) -> relay_ebpf::FlowKey {
    let (remote, local_port) = (key.remote, key.local_port);
    match key.carries {
        Arriving::Bare => relay_ebpf::FlowKey::new(remote, local_port, None),
        Arriving::Channel(channel) => relay_ebpf::FlowKey::new(remote, local_port, Some(channel.get())),
        Arriving::Send(peer) => relay_ebpf::FlowKey::of_send(remote, local_port, peer),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use relay_server::{AllocationPort, ChannelNumber};

    use super::*;

    pub(crate) fn behind_nat() -> LocalAddresses {
        let ip = |text: &str| text.parse().unwrap();
        LocalAddresses {
            v4: Some(ip("10.0.0.7")),
            v6: Some(ip("2001:db8::7")),
            listen_port: 3478,
            own: vec![ip("10.0.0.7"), ip("203.0.113.7"), ip("2001:db8::7")],
            is_v4_given: false,
            is_v6_given: false,
        }
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn channel(number: u16) -> ChannelNumber {
        ChannelNumber::new(number).unwrap()
    }

    /// A flow from a client to a peer, through port 50000.
    pub(crate) fn up(client: &str, listener: &str, peer: &str) -> Flow {
        Flow {
            key: FlowKey { remote: address(client), local_port: 3478, carries: Arriving::Channel(channel(0x4001)) },
            arrives: Via::Listener(listener.parse().unwrap()),
            leaves: Via::Relay(AllocationPort::new(50_000)),
            to: address(peer),
            leaves_in: Leaving::Bare,
            from_client_of: Some(AllocationPort::new(50_000)),
            to_client_of: None,
        }
    }

    /// The opposite flow.
    fn down(client: &str, listener: &str, peer: &str) -> Flow {
        Flow {
            key: FlowKey { remote: address(peer), local_port: 50_000, carries: Arriving::Bare },
            arrives: Via::Relay(AllocationPort::new(50_000)),
            leaves: Via::Listener(listener.parse().unwrap()),
            to: address(client),
            leaves_in: Leaving::Channel(channel(0x4001)),
            from_client_of: None,
            to_client_of: Some(AllocationPort::new(50_000)),
        }
    }

    #[test]
    fn packets_carry_local_addresses_of_the_remote_ends_family() {
        let clients = [("192.0.2.1:1000", "10.0.0.7"), ("[2001:db8:1::1]:1000", "2001:db8::7")];
        let peers = [("198.51.100.2:2000", "10.0.0.7:50000"), ("[2001:db8:2::2]:2000", "[2001:db8::7]:50000")];
        for (client, listener) in clients {
            for (peer, relayed) in peers {
                let listening = SocketAddr::new(listener.parse().unwrap(), 3478);
                let expected = relay_ebpf::Flow {
                    remote: address(client),
                    local: listening,
                    arrives_in: Encapsulation::Channel(0x4001),
                    source: address(relayed),
                    destination: address(peer),
                    leaves_in: Encapsulation::Bare,
                };
                let flow = up(client, listener, peer);
                assert_eq!(behind_nat().complete(&flow), Some(expected));
                assert_eq!(complete_key(&flow.key), expected.key());
                assert!(expected.route(0).is_ok());

                let expected = relay_ebpf::Flow {
                    remote: address(peer),
                    local: address(relayed),
                    arrives_in: Encapsulation::Bare,
                    source: listening,
                    destination: address(client),
                    leaves_in: Encapsulation::Channel(0x4001),
                };
                let flow = down(client, listener, peer);
                assert_eq!(behind_nat().complete(&flow), Some(expected));
                assert_eq!(complete_key(&flow.key), expected.key());
                assert!(expected.route(0).is_ok());

                let up = up(client, listener, peer);
                let carries = Arriving::Send(up.to);
                let send = Flow { key: FlowKey { carries, ..up.key }, ..up };
                let data = Flow { leaves_in: Leaving::Data, ..flow };
                for (flow, arrives_in, leaves_in) in [
                    (send, Encapsulation::Indication, Encapsulation::Bare),
                    (data, Encapsulation::Bare, Encapsulation::Indication),
                ] {
                    let complete = behind_nat().complete(&flow).unwrap();
                    assert_eq!((complete.arrives_in, complete.leaves_in), (arrives_in, leaves_in));
                    assert_eq!(complete_key(&flow.key), complete.key());
                    assert!(complete.route(0).is_ok());
                }
            }
        }
    }

    #[test]
    fn between_two_clients_both_ends_are_listeners() {
        let flow = Flow {
            key: FlowKey {
                remote: address("192.0.2.1:1000"),
                local_port: 3478,
                carries: Arriving::Channel(channel(0x4001)),
            },
            arrives: Via::Listener("10.0.0.7".parse().unwrap()),
            leaves: Via::Listener("2001:db8::7".parse().unwrap()),
            to: address("[2001:db8:1::1]:1000"),
            leaves_in: Leaving::Channel(channel(0x4002)),
            from_client_of: Some(AllocationPort::new(50_000)),
            to_client_of: Some(AllocationPort::new(50_001)),
        };
        let complete = behind_nat().complete(&flow).unwrap();
        assert_eq!((complete.local, complete.source), (address("10.0.0.7:3478"), address("[2001:db8::7]:3478")));
        assert_eq!(complete.arrives_in, Encapsulation::Channel(0x4001));
        assert_eq!(complete.leaves_in, Encapsulation::Channel(0x4002));
    }

    #[test]
    fn what_stays_on_this_machine_stays_in_user_space() {
        for here in ["10.0.0.7:2000", "203.0.113.7:2000", "127.0.0.1:2000", "[::1]:2000", "[2001:db8::7]:2000"] {
            assert_eq!(behind_nat().complete(&up("192.0.2.1:1000", "10.0.0.7", here)), None, "{here}");
            assert_eq!(behind_nat().complete(&down("192.0.2.1:1000", "10.0.0.7", here)), None, "{here}");
        }
    }

    #[test]
    fn a_family_without_an_address_stays_in_user_space() {
        let addresses = LocalAddresses { v6: None, ..behind_nat() };
        assert_eq!(addresses.complete(&up("192.0.2.1:1000", "10.0.0.7", "[2001:db8:2::2]:2000")), None);
        assert!(addresses.complete(&up("192.0.2.1:1000", "10.0.0.7", "198.51.100.2:2000")).is_some());
    }

    #[test]
    fn an_address_that_comes_is_what_packets_carry_unless_an_option_says_otherwise() {
        let family = |public: &str, local: &str| {
            let (public, local) = (public.parse().unwrap(), local.parse().unwrap());
            let status = relay_server::AddressStatus::Present;
            Some(FamilyState { public, relay: local, source: None, local, status })
        };
        let mut now = AddressState {
            v4: family("203.0.113.7", "10.0.0.7"),
            v6: family("2001:db8::7", "2001:db8::7"),
            own: behind_nat().own,
            has_outgrown_loopback: false,
        };
        let mut addresses = behind_nat();
        assert!(!addresses.update(&now));
        now.v4 = family("203.0.113.7", "203.0.113.7");
        assert!(addresses.update(&now));
        assert_eq!(addresses.v4, Some("203.0.113.7".parse().unwrap()));
        let mut given = LocalAddresses { is_v4_given: true, ..behind_nat() };
        assert!(!given.update(&now));
        now.own.push("198.51.100.2".parse().unwrap());
        assert!(given.update(&now));
        assert_eq!((given.v4, given.own.len()), (behind_nat().v4, 4));
        // A source address on loopback means that there is no route.
        now.v6 = family("2001:db8::7", "::1");
        assert!(given.update(&now));
        assert_eq!(given.v6, None);
    }
}
