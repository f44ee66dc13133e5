use std::fmt;

/// An [ERROR-CODE](https://www.rfc-editor.org/rfc/rfc8489#section-14.8), 300 to 699.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(u16);

impl ErrorCode {
    /// The request was malformed.
    pub const BAD_REQUEST: Self = Self(400);
    /// No credentials, or the wrong ones.
    pub const UNAUTHENTICATED: Self = Self(401);
    /// The request is valid and refused.
    pub const FORBIDDEN: Self = Self(403);
    /// The server does not know a comprehension-required attribute.
    pub const UNKNOWN_ATTRIBUTE: Self = Self(420);
    /// There is no allocation, or there is one already.
    pub const ALLOCATION_MISMATCH: Self = Self(437);
    /// The nonce is no longer valid.
    pub const STALE_NONCE: Self = Self(438);
    /// The requested address family is not offered.
    pub const ADDRESS_FAMILY_NOT_SUPPORTED: Self = Self(440);
    /// The credentials are not those that the allocation was made with.
    pub const WRONG_CREDENTIALS: Self = Self(441);
    /// The requested transport protocol is not offered.
    pub const UNSUPPORTED_TRANSPORT_PROTOCOL: Self = Self(442);
    /// The peer's address family is not the allocation's.
    pub const PEER_ADDRESS_FAMILY_MISMATCH: Self = Self(443);
    /// This username has as many allocations as it may.
    pub const ALLOCATION_QUOTA_REACHED: Self = Self(486);
    /// The server had a temporary error.
    pub const SERVER_ERROR: Self = Self(500);
    /// The server has no capacity left.
    pub const INSUFFICIENT_CAPACITY: Self = Self(508);

    /// The error code with this number, if it is one: 300 to 699.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if 300 <= number && number <= 699 { Some(Self(number)) } else { None }
    }

    /// Its number, 300 to 699.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The reason phrase that [RFC 8489](https://www.rfc-editor.org/rfc/rfc8489#section-14.8) and
    /// [RFC 8656](https://www.rfc-editor.org/rfc/rfc8656#section-19) recommend; empty for codes that they do not name.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::BAD_REQUEST => "Bad Request",
            Self::UNAUTHENTICATED => "Unauthenticated",
            Self::FORBIDDEN => "Forbidden",
            Self::UNKNOWN_ATTRIBUTE => "Unknown Attribute",
            Self::ALLOCATION_MISMATCH => "Allocation Mismatch",
            Self::STALE_NONCE => "Stale Nonce",
            Self::ADDRESS_FAMILY_NOT_SUPPORTED => "Address Family not Supported",
            Self::WRONG_CREDENTIALS => "Wrong Credentials",
            Self::UNSUPPORTED_TRANSPORT_PROTOCOL => "Unsupported Transport Protocol",
            Self::PEER_ADDRESS_FAMILY_MISMATCH => "Peer Address Family Mismatch",
            Self::ALLOCATION_QUOTA_REACHED => "Allocation Quota Reached",
            Self::SERVER_ERROR => "Server Error",
            Self::INSUFFICIENT_CAPACITY => "Insufficient Capacity",
            _ => "",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason() {
            "" => write!(f, "{}", self.0),
            reason => write!(f, "{} ({reason})", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn codes_range_from_300_to_699() {
        for number in 0..=u16::MAX {
            assert_eq!(ErrorCode::new(number).map(ErrorCode::number), (300..700).contains(&number).then_some(number));
        }
    }

    #[test]
    fn is_shown_with_its_reason() {
        assert_eq!(ErrorCode::STALE_NONCE.to_string(), "438 (Stale Nonce)");
        assert_eq!(ErrorCode(699).to_string(), "699");
    }
}
