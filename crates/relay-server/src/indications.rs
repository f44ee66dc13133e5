//! Application data without a channel: Send indications in, Data indications out.
//!
//! Nothing here allocates, and nothing here costs more when there are more allocations.

use std::{net::SocketAddr, ops::Range};

use allocation::{Allocation, PermissionError};
use rand::RngCore;
use stun_msg::{SendIndication, TransactionId};

use crate::{DropReason, Encapsulation, Family, FiveTuple, Forward, PeerSocket, Server, Via, peer_policy};

/// Makes the transaction IDs of Data indications: no two alike, and none to be guessed without the seed.
#[derive(Debug)]
pub(crate) struct TransactionIds {
    prefix: [u8; 4],
    key: u64,
    made: u64,
}

impl TransactionIds {
    pub(crate) fn new(rng: &mut impl RngCore) -> Self {
        Self { prefix: rng.next_u32().to_be_bytes(), key: rng.next_u64(), made: 0 }
    }

    pub(crate) fn next(&mut self) -> TransactionId {
        self.made = self.made.wrapping_add(1);
        // SplitMix64's finalizer: one-to-one, so what differs stays different.
        let mut bits = self.made.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(self.key);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        let ([a, b, c, d], [e, f, g, h, i, j, k, l]) = (self.prefix, bits.to_be_bytes());
        TransactionId([a, b, c, d, e, f, g, h, i, j, k, l])
    }
}

impl Server {
    /// [RFC 8656, section 11.2](https://www.rfc-editor.org/rfc/rfc8656#section-11.2). `datagram` is a Send indication by its header.
    #[inline(never)]
    pub(crate) fn relay_send(
        &mut self,
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
        if self.config.relay_addresses.contains(to.ip()) {
            return self.route_to_ourselves(port, to, payload, refused);
        }
        allocation.count_to_peer(payload.len());
        let encapsulation = if unfragmented { Encapsulation::Unfragmented } else { Encapsulation::Bare };
        Some(Forward { from: Via::Relay(port), to, encapsulation, payload })
    }

    /// Which allocation the data of a Send indication leaves by, where it goes, where it is in the datagram, and whether it leaves with the
    /// DF bit.
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
        peer_policy::check_port(&self.config, to).map_err(|_| DropReason::PeerForbidden)?;
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

    /// Whether a client may be told of this peer, at an address that it has a permission for.
    #[inline(never)]
    pub(crate) fn may_indicate(&self, peer: PeerSocket) -> bool {
        peer_policy::check_port(&self.config, peer.address()).is_ok()
    }

    /// The Data indication that tells the client of `five_tuple` what `peer` sent, which has a permission and no channel:
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn no_two_transaction_ids_are_alike_and_a_seed_repeats_them() {
        let ids = |seed| {
            let mut ids = TransactionIds::new(&mut ChaCha20Rng::from_seed([seed; 32]));
            (0..10_000).map(|_| ids.next()).collect::<Vec<_>>()
        };
        assert_eq!(ids(1).iter().collect::<BTreeSet<_>>().len(), 10_000);
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1)[0], ids(2)[0]);
    }
}
