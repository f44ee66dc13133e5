use std::fmt;

use rand::RngCore;
use serde::{Deserialize, Serialize};

/// Identifies a reserved port to the client that asked for it.
///
/// [RFC 8656, section 18.10](https://www.rfc-editor.org/rfc/rfc8656#section-18.10)
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReservationToken([u8; Self::LEN]);

impl ReservationToken {
    /// The length of a token, in bytes.
    pub const LEN: usize = 8;

    /// Wraps the bytes of a RESERVATION-TOKEN attribute.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes, as they go into a RESERVATION-TOKEN attribute.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        self.0
    }

    pub(crate) fn draw(rng: &mut impl RngCore) -> Self {
        Self(rng.next_u64().to_le_bytes())
    }
}

impl fmt::Debug for ReservationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Token and credentials together give access to the port, so the token stays out of logs.
        f.write_str("ReservationToken(..)")
    }
}
