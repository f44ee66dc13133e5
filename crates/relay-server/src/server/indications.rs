//! The data path of indications: Send indications in, Data indications out.
//!
//! Nothing here allocates memory, and no cost depends on the number of allocations.

use std::{net::SocketAddr, ops::Range};

use allocation::{Allocation, PermissionError};
use stun_msg::SendIndication;

use crate::{
    AllocationPort, DropReason, Encapsulation, Family, FiveTuple, Forward, PeerSocket, Server, Timestamp, Via,
};

impl Server {
    /// [RFC 8656, section 11.2](https://www.rfc-editor.org/rfc/rfc8656#section-11.2). The header of `datagram` is that of a
    /// Send indication.
    #[inline(never)]
    pub(crate) fn relay_send(
        &mut self,
        now: Timestamp,
        from: FiveTuple,
        datagram: &[u8],
        refused: &mut Option<DropReason>,
    ) -> Option<Forward> {
        let (allocation, to, payload, unfragmented) = match self.route_send(&from, datagram) {
            Ok(route) => route,
            Err(reason) => {
                *refused = Some(reason);
                return None;
            }
        };
        let port = allocation.port();
        if self.examines_indications {
            let id = allocation.id();
            return self.relay_examined_send(now, (id, port), (to, payload, unfragmented), refused);
        }
        if self.config.relay_addresses.contains(to.ip()) {
            return self.send_to_ourselves(port, to, payload, unfragmented, refused);
        }
        allocation.count_to_peer(payload.len());
        Some(Forward { from: Via::Relay(port), to, encapsulation: Encapsulation::to_peer(unfragmented), payload })
    }

    /// Routes the data of a Send indication to `to`, an address of this relay.
    #[inline]
    pub(super) fn send_to_ourselves(
        &mut self,
        port: AllocationPort,
        to: SocketAddr,
        payload: Range<usize>,
        unfragmented: bool,
        refused: &mut Option<DropReason>,
    ) -> Option<Forward> {
        if unfragmented {
            return self.route_unfragmented_to_ourselves(port, to, payload, refused);
        }
        self.route_to_ourselves(port, to, payload, refused)
    }

    /// Returns the allocation that the data of a Send indication leaves by, its destination, its range in the datagram, and
    /// whether it leaves with the DF bit.
    #[inline]
    fn route_send(
        &self,
        from: &FiveTuple,
        datagram: &[u8],
    ) -> Result<(&Allocation, SocketAddr, Range<usize>, bool), DropReason> {
        let SendIndication { peer: to, payload, dont_fragment } =
            SendIndication::parse(datagram).map_err(DropReason::of_send)?;
        let unfragmented = dont_fragment && self.is_unfragmented(from, to)?;
        let allocation = self.allocations.permitted_to_send(from, to.ip()).map_err(|error| match error {
            PermissionError::NoAllocation => DropReason::NoAllocation,
            PermissionError::NoPermission => self.unpermitted(from, to),
        })?;
        if to.port() == 0 {
            return Err(DropReason::PeerForbidden);
        }
        Ok((allocation, to, payload, unfragmented))
    }

    /// Why the client of `from` may not send to `to`.
    #[inline(never)]
    fn unpermitted(&self, from: &FiveTuple, to: SocketAddr) -> DropReason {
        let families = self.allocations.by_five_tuple(from).map(Allocation::families);
        match families {
            Some(families) if !families.contains(Family::of(to.ip())) => DropReason::PeerFamilyMismatch,
            _ => DropReason::NoPermission,
        }
    }

    /// Whether the client may get Data indications from this port of `peer`, given a permission for its address.
    #[inline]
    pub(crate) fn may_indicate(&self, peer: PeerSocket) -> bool {
        self.is_port_allowed(peer.address())
    }

    /// The Data indication for the client of `five_tuple` with data from `peer`:
    /// [RFC 8656, section 11.3](https://www.rfc-editor.org/rfc/rfc8656#section-11.3).
    #[inline(never)]
    pub(crate) fn data_indication(
        &mut self,
        five_tuple: FiveTuple,
        peer: PeerSocket,
        payload: Range<usize>,
    ) -> Forward {
        let transaction = self.transaction_ids.next();
        Forward {
            from: Via::Listener(five_tuple.server),
            to: five_tuple.client.address(),
            encapsulation: Encapsulation::Data { peer: peer.address(), transaction },
            payload,
        }
    }
}
