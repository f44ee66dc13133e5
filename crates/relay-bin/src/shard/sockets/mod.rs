//! The sockets of a shard. `open` opens the relay sockets of allocations, `input` reads all sockets, `output` sends, and `hand_over` gives
//! relay sockets to another process, or takes them from one.

mod hand_over;
mod input;
mod open;
mod output;

use std::{io, net::IpAddr};

use relay_server::{Family, PortRange};
use udp_batch::UdpSocket;

use self::open::RelayAddress;
use super::{
    address_map::{AddressMap, HeldPorts},
    network::Network as _,
    outbound::Outbound,
    poller::{Source, Watcher},
    relay_table::RelayTable,
};
use crate::{
    addresses::AddressState,
    faults::Faults,
    files::Files,
    listen::{Listening, Role},
    throttle::Throttle,
};

/// A listening socket and the address it is bound to, `None` for all addresses.
#[derive(Debug)]
struct Listener {
    role: Role,
    socket: UdpSocket,
    address: Option<IpAddr>,
    /// The number of errors in a row.
    errors: u8,
    family: Family,
    /// Whether it waits for its turn.
    is_ready: bool,
}

impl Listener {
    fn new(Listening { socket, role }: Listening, bound: IpAddr) -> Self {
        let address = Some(bound).filter(|address| !address.is_unspecified());
        Self { role, socket, address, errors: 0, family: Family::of(bound), is_ready: false }
    }
}

/// The sockets of a shard.
pub(super) struct Sockets {
    listeners: Vec<Listener>,
    /// The index of the listening socket that sends, for each family.
    v4: Option<u16>,
    v6: Option<u16>,
    relays: RelayTable,
    addresses: AddressMap,
    v4_relays: RelayAddress,
    v6_relays: RelayAddress,
    outbound: Outbound,
    watcher: Watcher,
    files: Files,
    faults: Faults,
    /// Whether ICMP errors are reported to clients.
    tells_icmp: bool,
    cannot_open: Throttle,
    /// How many datagrams the kernel has dropped since [`take_overruns`](crate::shard::inbound::Inbound::take_overruns).
    overruns: u64,
}

impl Sockets {
    /// Takes over the listening sockets.
    ///
    /// # Errors
    ///
    /// When one cannot be registered with the poller.
    #[expect(clippy::too_many_arguments, reason = "each is another thing, and there is one caller")]
    pub(super) fn new(
        listening: Vec<Listening>,
        ports: PortRange,
        addresses: &AddressState,
        held: HeldPorts,
        watcher: Watcher,
        files: Files,
        faults: Faults,
        tells_icmp: bool,
    ) -> io::Result<Self> {
        let (mut v4, mut v6) = (None, None);
        let mut listeners = Vec::new();
        for (index, listening) in (0..).zip(listening) {
            // Any listening socket can send; one for each family is enough.
            let bound = listening.socket.local_addr()?;
            let sends = if bound.is_ipv4() { &mut v4 } else { &mut v6 };
            *sends = Some(index);
            let listener = Listener::new(listening, bound.ip());
            watcher.watch(&listener.socket, Source::Listener(index))?;
            listeners.push(listener);
        }
        let mut sockets = Self {
            listeners,
            v4,
            v6,
            relays: RelayTable::new(ports),
            addresses: AddressMap::new([], held),
            v4_relays: RelayAddress::default(),
            v6_relays: RelayAddress::default(),
            outbound: Outbound::default(),
            watcher,
            files,
            faults,
            tells_icmp,
            cannot_open: Throttle::new(open::WARN_EVERY),
            overruns: 0,
        };
        sockets.set_addresses(addresses);
        Ok(sockets)
    }
}

#[cfg(test)]
impl Sockets {
    /// The relay socket of the allocation with this port.
    pub(super) fn relay(&self, port: relay_server::AllocationPort, family: Family) -> &UdpSocket {
        &self.relays.get(port, family).unwrap().socket
    }
}
