//! ICMP errors about what was relayed: [RFC 8656, section 11.5](https://www.rfc-editor.org/rfc/rfc8656#section-11.5).

use stun_msg::Icmp;

use crate::{AllocationPort, DropReason, Event, FiveTuple, Output, PeerSocket, Server, Timestamp};

impl Server {
    /// What was sent from a relayed transport address with `port` to `peer` came to `icmp`. The port of `peer` is zero if it is not known.
    ///
    /// The client is told in a Data indication if it has a permission for the peer, whose port does not matter, or a channel to it.
    /// What the ICMP message itself came from, mostly a router, does not matter.
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

/// What a client is told of an ICMP message, if anything: that something is unreachable, took too long, or was too large. Only the last
/// says more, [the MTU](https://www.rfc-editor.org/rfc/rfc8656#section-18.13).
const fn told(icmp: Icmp, is_v4: bool) -> Option<Icmp> {
    let Icmp { icmp_type, code, error_data } = icmp;
    let is_too_large = match (is_v4, icmp_type, code) {
        (true, 3, 4) | (false, 2, _) => true,
        (true, 3 | 11, _) | (false, 1 | 3, _) => false,
        _ => return None,
    };
    Some(Icmp { icmp_type, code, error_data: if is_too_large { error_data } else { 0 } })
}
