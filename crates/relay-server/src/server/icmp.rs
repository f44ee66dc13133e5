//! Sends ICMP errors to clients: [RFC 8656, section 11.5](https://www.rfc-editor.org/rfc/rfc8656#section-11.5).

use stun_msg::Icmp;

use crate::{AllocationPort, DropReason, Event, FiveTuple, Output, PeerSocket, Server, Timestamp};

impl Server {
    /// Handles an ICMP error about a datagram from the relayed transport address with `port` to `peer`. The port of `peer` is
    /// zero if unknown.
    ///
    /// The client gets a Data indication if it has a channel to the peer or a permission for its address; the permission does not
    /// depend on the port. The source of the ICMP message, mostly a router, does not matter.
    pub fn handle_icmp(&mut self, now: Timestamp, port: AllocationPort, peer: PeerSocket, icmp: Icmp) {
        self.expire_if_due(now);
        if !self.config.indications {
            return;
        }
        match self.tell_icmp(now, port, peer, icmp) {
            Ok(()) => self.emit(Event::IcmpTold { port, peer, icmp }),
            Err(reason) => self.emit(Event::Dropped { from: peer.address(), reason }),
        }
    }

    fn tell_icmp(
        &mut self,
        now: Timestamp,
        port: AllocationPort,
        peer: PeerSocket,
        icmp: Icmp,
    ) -> Result<(), DropReason> {
        let peer_address = peer.address();
        let icmp = told(icmp, peer_address.is_ipv4()).ok_or(DropReason::UnknownIcmp)?;
        let (allocation, _) = self.allocations.to_client(port, peer).map_err(DropReason::of_unbound)?;
        let FiveTuple { client, server } = allocation.five_tuple();
        if !self.icmp_limit.admit(now, port) {
            return Err(DropReason::IcmpLimit);
        }
        let bytes = icmp.data_indication(self.transaction_ids.next(), peer_address);
        self.outputs.push_back(Output::Transmit { from: server, to: client, bytes });
        Ok(())
    }
}

/// The part of an ICMP message that is sent to the client: "unreachable", "time exceeded" or "too large". Only the last one has error
/// data, [the MTU](https://www.rfc-editor.org/rfc/rfc8656#section-18.13). `None` for other messages.
const fn told(icmp: Icmp, is_v4: bool) -> Option<Icmp> {
    let Icmp { icmp_type, code, error_data } = icmp;
    let is_too_large = match (is_v4, icmp_type, code) {
        (true, 3, 4) | (false, 2, _) => true,
        (true, 3 | 11, _) | (false, 1 | 3, _) => false,
        _ => return None,
    };
    Some(Icmp { icmp_type, code, error_data: if is_too_large { error_data } else { 0 } })
}
