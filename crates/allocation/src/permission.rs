use std::{net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// How long a permission lasts without being refreshed: 5 minutes.
///
/// [RFC 8656, section 9](https://www.rfc-editor.org/rfc/rfc8656#section-9)
pub const PERMISSION_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// A permission of an allocation: peers at this address may send to its client, and its client to them.
///
/// [RFC 8656, section 9](https://www.rfc-editor.org/rfc/rfc8656#section-9)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    pub(crate) address: IpAddr,
    pub(crate) expires_at: Timestamp,
}

impl Permission {
    /// The address of the peers. Any port is allowed.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// When it ends, unless it is refreshed.
    #[must_use]
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}
