use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{AllocationPort, Credential, Families, FiveTuple, ReservationToken};

/// What an Allocate request asks for, once all checks that need no knowledge of other allocations have passed.
#[derive(Clone, Copy, Debug)]
pub struct NewAllocation<'a> {
    /// The 5-tuple of the client.
    pub five_tuple: FiveTuple,
    /// What the request is authenticated with.
    pub credential: Credential<'a>,
    /// The transaction id of the request.
    pub transaction_id: [u8; 12],
    /// The lifetime that is granted, not the one that was requested.
    pub lifetime: Duration,
    /// The families of its relayed transport addresses. Ignored for a reserved port, whose reservation has its own.
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
    /// An even one, with the next one reserved: EVEN-PORT with the R bit set.
    EvenAndReserveNext,
    /// The one that was reserved before: RESERVATION-TOKEN.
    Reserved(ReservationToken),
    /// The one that another shard of the relay has lent ([`Allocations::lend`](crate::Allocations::lend)).
    Lent {
        /// Which one; with [`PortNeed::Pair`] the next one is lent as well.
        port: AllocationPort,
        /// What kind of port was asked for.
        need: PortNeed,
        /// How many ports were tried before and are held by other programs.
        tried: u8,
    },
}

/// What kind of port an allocation still needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PortNeed {
    /// Any.
    Any,
    /// An even one.
    Even,
    /// An even one, and the next one to reserve.
    Pair,
}

impl PortNeed {
    /// The request with this need.
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
    /// What kind of port can be lent for this request; `None` if it names a certain port.
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
