use std::time::Duration;

use crate::{Credential, Families, FiveTuple, ReservationToken};

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
}
