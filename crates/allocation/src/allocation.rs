use std::{sync::Arc, time::Duration};

use crate::{AllocationId, AllocationPort, Channel, FiveTuple, ReservationToken, Timestamp, channels::Channels};

/// One client's relayed transport address, in one or both families, and the channels bound on it.
///
/// [RFC 8656, section 3.2](https://www.rfc-editor.org/rfc/rfc8656#section-3.2)
#[derive(Debug)]
pub struct Allocation {
    pub(crate) id: AllocationId,
    pub(crate) five_tuple: FiveTuple,
    pub(crate) port: AllocationPort,
    pub(crate) port_kind: PortKind,
    pub(crate) ports_tried: u8,
    pub(crate) families: Families,
    pub(crate) channels: Channels,
    pub(crate) username: Arc<str>,
    pub(crate) transaction_id: [u8; 12],
    pub(crate) reservation: Option<ReservationToken>,
    pub(crate) lifetime: Duration,
    pub(crate) expires_at: Timestamp,
    /// The slot of the allocation that the same username made before this one.
    pub(crate) previous_of_user: u16,
    /// The slot of the allocation that the same username made after this one.
    pub(crate) next_of_user: u16,
}

/// What a port was chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortKind {
    Any,
    Even,
    FirstOfPair,
    Reserved,
}

/// The address families of a relayed transport address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Families {
    pub(crate) v4: bool,
    pub(crate) v6: bool,
}

impl Allocation {
    /// Names it.
    #[must_use]
    pub const fn id(&self) -> AllocationId {
        self.id
    }

    /// Whose it is.
    #[must_use]
    pub const fn five_tuple(&self) -> FiveTuple {
        self.five_tuple
    }

    /// The username it was authenticated with.
    #[must_use]
    pub const fn username(&self) -> &Arc<str> {
        &self.username
    }

    /// The transaction id of the Allocate request that made it, by which a retransmission is known.
    #[must_use]
    pub const fn transaction_id(&self) -> [u8; 12] {
        self.transaction_id
    }

    /// The port of its relayed transport addresses.
    #[must_use]
    pub const fn port(&self) -> AllocationPort {
        self.port
    }

    /// Whether it has an IPv4 relayed transport address.
    #[must_use]
    pub const fn v4(&self) -> bool {
        self.families.v4
    }

    /// Whether it has an IPv6 relayed transport address.
    #[must_use]
    pub const fn v6(&self) -> bool {
        self.families.v6
    }

    /// The lifetime last granted.
    #[must_use]
    pub const fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// When it ends unless it is refreshed.
    #[must_use]
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// The token of the port after its own, if its client asked to reserve that one.
    ///
    /// It stays here for the sake of retransmitted requests, also when the reservation is used or gone.
    #[must_use]
    pub const fn reservation(&self) -> Option<ReservationToken> {
        self.reservation
    }

    /// Its channels, bound and lapsed, in an order that depends on nothing but what was done to them.
    #[must_use]
    pub fn channels(&self) -> &[Channel] {
        self.channels.as_slice()
    }
}
