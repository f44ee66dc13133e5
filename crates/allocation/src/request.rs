use std::time::Duration;

use crate::{AllocationPort, Credential, Families, FiveTuple, ReservationToken};

/// What an Allocate request asks for, once all checks that need no knowledge of other allocations have passed.
#[derive(Clone, Copy, Debug)]
pub struct NewAllocation<'a> {
    /// Whose it will be.
    pub five_tuple: FiveTuple,
    /// What the request is authenticated with.
    pub credential: Credential<'a>,
    /// The transaction id of the request.
    pub transaction_id: [u8; 12],
    /// For how long, as granted (not as requested).
    pub lifetime: Duration,
    /// The families of its relayed transport addresses. A reservation brings its own, and this is not looked at.
    pub families: Families,
    /// Which port it gets.
    pub port: PortRequest,
}

/// Which port an allocation gets.
///
/// [RFC 8656, section 7.2](https://www.rfc-editor.org/rfc/rfc8656#section-7.2)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PortRequest {
    /// Any.
    #[default]
    Any,
    /// An even one: EVEN-PORT with the R bit clear.
    Even,
    /// An even one, the one after it being reserved: EVEN-PORT with the R bit set.
    EvenAndReserveNext,
    /// The one that was reserved before: RESERVATION-TOKEN.
    Reserved(ReservationToken),
    /// The one that another shard of the relay has lent ([`Allocations::lend`](crate::Allocations::lend)).
    Lent {
        /// Which one; with [`PortNeed::Pair`] the next one is lent as well.
        port: AllocationPort,
        /// What was asked for.
        need: PortNeed,
        /// How many ports that other programs held were tried before.
        tried: u8,
    },
}

/// Which port an allocation needs that has none yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortNeed {
    /// Any.
    Any,
    /// An even one.
    Even,
    /// An even one and the next one, which is reserved.
    Pair,
}

impl PortNeed {
    /// The request that it comes from.
    #[must_use]
    pub const fn request(self) -> PortRequest {
        match self {
            Self::Any => PortRequest::Any,
            Self::Even => PortRequest::Even,
            Self::Pair => PortRequest::EvenAndReserveNext,
        }
    }
}

impl PortRequest {
    /// What may be lent for it: nothing for a port that was chosen before.
    #[must_use]
    pub const fn need(self) -> Option<PortNeed> {
        match self {
            Self::Any => Some(PortNeed::Any),
            Self::Even => Some(PortNeed::Even),
            Self::EvenAndReserveNext => Some(PortNeed::Pair),
            Self::Lent { need, .. } => Some(need),
            Self::Reserved(_) => None,
        }
    }
}
