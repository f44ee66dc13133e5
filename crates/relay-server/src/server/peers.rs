//! Checks peers against the peer policy, when a permission or a channel is made and when the policy or the addresses change.

use std::net::{IpAddr, SocketAddr};

use allocation::Allocation;

use crate::{AllocationId, Event, FiveTuple, PeerForbidden, PeerPorts, RelayPlace, Server};

impl Server {
    /// The relay's addresses and ports, for the policy.
    pub(crate) fn place(&self) -> RelayPlace<'_> {
        RelayPlace {
            relay_addresses: self.config.relay_addresses,
            own_addresses: &self.config.own_addresses,
            listen_port: self.config.listen_port,
            ports: self.ports_of_all_shards,
        }
    }

    /// Whether the client of `five_tuple` may bind a channel to `peer`.
    pub(crate) fn check_peer(&mut self, five_tuple: FiveTuple, peer: SocketAddr) -> Result<(), PeerForbidden> {
        let checked = self.config.peer_policy.check(&self.place(), peer);
        if checked.is_ok() {
            // ChannelBind also installs a permission, which applies to all ports.
            return self.check_peer_address(five_tuple, peer);
        }
        checked.inspect_err(|reason| self.emit(Event::PeerRefused { five_tuple, peer, reason: *reason }))
    }

    /// Whether the client of `five_tuple` may have a permission for the address of `peer`: at least one of its ports must be
    /// allowed.
    pub(crate) fn check_peer_address(&mut self, five_tuple: FiveTuple, peer: SocketAddr) -> Result<(), PeerForbidden> {
        match self.config.peer_policy.check_address(&self.place(), peer.ip()) {
            Ok(PeerPorts::All) => Ok(()),
            Ok(PeerPorts::Some) => {
                self.has_limited_permissions = true;
                self.examines_indications = true;
                Ok(())
            }
            Err(reason) => {
                self.emit(Event::PeerRefused { five_tuple, peer, reason });
                Err(reason)
            }
        }
    }

    /// Whether data may be relayed to and from the port of `peer`, given a permission for its address.
    #[inline]
    pub(crate) fn is_port_allowed(&self, peer: SocketAddr) -> bool {
        peer.port() != 0 && (!self.has_limited_permissions || self.is_limited_port_allowed(peer))
    }

    #[inline(never)]
    fn is_limited_port_allowed(&self, peer: SocketAddr) -> bool {
        let policy = &self.config.peer_policy;
        if !policy.has_rules_about_ports() {
            // Ports matter only at the relay's own addresses, where those of allocations are allowed.
            let ports = self.ports_of_all_shards;
            if (ports.lowest()..=ports.highest()).contains(&peer.port()) || !self.place().may_receive(peer.ip()) {
                return true;
            }
        }
        policy.check(&self.place(), peer).is_ok()
    }

    /// `client`, if its address is this machine's and its port is in the range of relayed transport addresses. The caller must
    /// find out whether an allocation or another program has that port.
    ///
    /// If the client of an allocation is another allocation of this relay, each datagram passes the relay once more, and as often as
    /// allocations are nested.
    pub(crate) fn own_client(&self, client: SocketAddr) -> Option<SocketAddr> {
        let ports = self.ports_of_all_shards;
        let is_own = (ports.lowest()..=ports.highest()).contains(&client.port()) && self.place().has(client.ip());
        is_own.then_some(client)
    }

    /// Ends the channels and permissions whose peers are no longer allowed.
    pub(crate) fn revoke_peers(&mut self) {
        self.has_limited_permissions = false;
        let ids: Vec<AllocationId> = self.allocations().map(Allocation::id).collect();
        for id in ids {
            self.revoke_channels(id);
            self.revoke_permissions(id);
        }
        self.decide_whether_to_examine();
    }

    fn revoke_channels(&mut self, id: AllocationId) {
        let Some(allocation) = self.allocations.get(id) else { return };
        let (five_tuple, port) = (allocation.five_tuple(), allocation.port());
        let (policy, place) = (&self.config.peer_policy, self.place());
        let denied = allocation.channels().iter().filter_map(|channel| {
            let reason = policy.check(&place, channel.peer().address()).err()?;
            Some((*channel, reason))
        });
        for (channel, reason) in denied.collect::<Vec<_>>() {
            let (number, peer) = (channel.number(), channel.peer());
            // Before the channel is revoked: the flows depend on its peer.
            if channel.is_bound() {
                self.remove_flows(five_tuple, port, number, peer);
            }
            self.allocations.revoke_channel(id, number);
            self.emit(Event::PeerRevoked { id, address: peer.address().ip(), reason });
            if channel.is_bound() {
                self.emit(Event::ChannelExpired { id, channel: number, peer });
            }
            self.emit(Event::ChannelReleased { id, channel: number, peer });
        }
    }

    fn revoke_permissions(&mut self, id: AllocationId) {
        let Some(allocation) = self.allocations.get(id) else { return };
        let of = (allocation.five_tuple(), allocation.port());
        let (policy, place) = (&self.config.peer_policy, self.place());
        let mut is_limited = false;
        let mut denied: Vec<(IpAddr, PeerForbidden)> = Vec::new();
        for permission in allocation.permissions() {
            match policy.check_address(&place, permission.address()) {
                Ok(PeerPorts::All) => {}
                Ok(PeerPorts::Some) => is_limited = true,
                Err(reason) => denied.push((permission.address(), reason)),
            }
        }
        self.has_limited_permissions |= is_limited;
        for (address, reason) in denied {
            self.allocations.revoke_permission(id, address);
            self.emit(Event::PeerRevoked { id, address, reason });
            self.permission_ended(id, address);
        }
        // A rule may deny one port of an address whose permission stays.
        self.forget_denied_peers(id, of);
    }
}
