use std::fmt;

/// The type of a STUN [attribute](https://www.rfc-editor.org/rfc/rfc8489#section-14). Unknown types keep their number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttributeType(u16);

/// One line per attribute: its number, its name, the section that defines it.
macro_rules! attribute_types {
    ($($constant:ident = $number:literal, $name:literal, $rfc:literal $section:literal;)*) => {
        impl AttributeType {
            $(
                #[doc = concat!("[", $name, "](https://www.rfc-editor.org/rfc/", $rfc, "#section-", $section, ").")]
                pub const $constant: Self = Self($number);
            )*

            /// Its name in the RFCs, if this crate knows it.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($name),)*
                    _ => None,
                }
            }
        }
    };
}

attribute_types! {
    MAPPED_ADDRESS = 0x0001, "MAPPED-ADDRESS", "rfc8489" "14.1";
    USERNAME = 0x0006, "USERNAME", "rfc8489" "14.3";
    MESSAGE_INTEGRITY = 0x0008, "MESSAGE-INTEGRITY", "rfc8489" "14.5";
    ERROR_CODE = 0x0009, "ERROR-CODE", "rfc8489" "14.8";
    UNKNOWN_ATTRIBUTES = 0x000A, "UNKNOWN-ATTRIBUTES", "rfc8489" "14.13";
    CHANNEL_NUMBER = 0x000C, "CHANNEL-NUMBER", "rfc8656" "18.1";
    LIFETIME = 0x000D, "LIFETIME", "rfc8656" "18.2";
    XOR_PEER_ADDRESS = 0x0012, "XOR-PEER-ADDRESS", "rfc8656" "18.3";
    DATA = 0x0013, "DATA", "rfc8656" "18.4";
    REALM = 0x0014, "REALM", "rfc8489" "14.9";
    NONCE = 0x0015, "NONCE", "rfc8489" "14.10";
    XOR_RELAYED_ADDRESS = 0x0016, "XOR-RELAYED-ADDRESS", "rfc8656" "18.5";
    REQUESTED_ADDRESS_FAMILY = 0x0017, "REQUESTED-ADDRESS-FAMILY", "rfc8656" "18.6";
    EVEN_PORT = 0x0018, "EVEN-PORT", "rfc8656" "18.7";
    REQUESTED_TRANSPORT = 0x0019, "REQUESTED-TRANSPORT", "rfc8656" "18.8";
    DONT_FRAGMENT = 0x001A, "DONT-FRAGMENT", "rfc8656" "18.9";
    MESSAGE_INTEGRITY_SHA256 = 0x001C, "MESSAGE-INTEGRITY-SHA256", "rfc8489" "14.6";
    PASSWORD_ALGORITHM = 0x001D, "PASSWORD-ALGORITHM", "rfc8489" "14.12";
    USERHASH = 0x001E, "USERHASH", "rfc8489" "14.4";
    XOR_MAPPED_ADDRESS = 0x0020, "XOR-MAPPED-ADDRESS", "rfc8489" "14.2";
    RESERVATION_TOKEN = 0x0022, "RESERVATION-TOKEN", "rfc8656" "18.10";
    ADDITIONAL_ADDRESS_FAMILY = 0x8000, "ADDITIONAL-ADDRESS-FAMILY", "rfc8656" "18.11";
    ADDRESS_ERROR_CODE = 0x8001, "ADDRESS-ERROR-CODE", "rfc8656" "18.12";
    PASSWORD_ALGORITHMS = 0x8002, "PASSWORD-ALGORITHMS", "rfc8489" "14.11";
    ICMP = 0x8004, "ICMP", "rfc8656" "18.13";
    SOFTWARE = 0x8022, "SOFTWARE", "rfc8489" "14.14";
    FINGERPRINT = 0x8028, "FINGERPRINT", "rfc8489" "14.7";
}

impl AttributeType {
    /// The attribute type with this number.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Whether a server that does not know it must
    /// [refuse the request](https://www.rfc-editor.org/rfc/rfc8489#section-14): below 0x8000.
    #[must_use]
    pub const fn is_comprehension_required(self) -> bool {
        self.0 < 0x8000
    }

    /// Whether a request with it must be [refused with 420](https://www.rfc-editor.org/rfc/rfc8489#section-6.3.1).
    ///
    /// An attribute that the RFCs define for other messages is known but unexpected, and ignored.
    pub(crate) const fn is_unknown_and_required(self) -> bool {
        self.is_comprehension_required() && self.name().is_none()
    }
}

impl fmt::Display for AttributeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "attribute {:#06x}", self.0),
        }
    }
}

impl fmt::Debug for AttributeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An [address family](https://www.rfc-editor.org/rfc/rfc8656#section-18.6) in a request. Unknown families keep their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FamilyCode(pub u8);

impl FamilyCode {
    /// IPv4.
    pub const V4: Self = Self(0x01);
    /// IPv6.
    pub const V6: Self = Self(0x02);
}

/// The length of an attribute's header, its type and length fields, in bytes.
pub(crate) const ATTRIBUTE_HEADER_LEN: usize = 4;

/// An attribute in a message, not decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawAttribute<'a> {
    pub(crate) kind: AttributeType,
    /// The offset of its header in the message, in bytes.
    pub(crate) offset: usize,
    /// Without padding.
    pub(crate) value: &'a [u8],
}

/// Iterates over the attributes of a message from `offset` on. `Err` is the offset of an attribute that overruns the end.
#[derive(Clone, Debug)]
pub(crate) struct Attributes<'a> {
    message: &'a [u8],
    offset: usize,
}

impl<'a> Attributes<'a> {
    pub(crate) const fn new(message: &'a [u8], offset: usize) -> Self {
        Self { message, offset }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<RawAttribute<'a>, usize>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.offset;
        let rest = self.message.get(offset..).filter(|rest| !rest.is_empty())?;
        // An error below ends the iteration.
        self.offset = self.message.len();

        let Some((&[k0, k1, l0, l1], after)) = rest.split_first_chunk() else {
            return Some(Err(offset));
        };
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        let padded = len.next_multiple_of(4);
        if after.len() < padded {
            return Some(Err(offset));
        }
        self.offset = offset + 4 + padded;
        Some(Ok(RawAttribute { kind: AttributeType(u16::from_be_bytes([k0, k1])), offset, value: &after[..len] }))
    }
}

#[cfg(test)]
mod tests {
    use stun_types::attribute::{
        AttributeStaticType, ErrorCode, Fingerprint, MessageIntegrity, MessageIntegritySha256, Nonce,
        PasswordAlgorithm, PasswordAlgorithms, Realm, Software, UnknownAttributes, Userhash, Username,
        XorMappedAddress,
    };
    use turn_types::attribute::{
        AdditionalAddressFamily, AddressErrorCode, ChannelNumber, Data, DontFragment, EvenPort, Lifetime,
        RequestedAddressFamily, RequestedTransport, ReservationToken, XorPeerAddress, XorRelayedAddress,
    };
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn numbers_are_those_of_the_codec() {
        fn number<A: AttributeStaticType>() -> AttributeType {
            AttributeType::new(A::TYPE.value())
        }
        for (ours, theirs) in [
            (AttributeType::USERNAME, number::<Username>()),
            (AttributeType::MESSAGE_INTEGRITY, number::<MessageIntegrity>()),
            (AttributeType::ERROR_CODE, number::<ErrorCode>()),
            (AttributeType::UNKNOWN_ATTRIBUTES, number::<UnknownAttributes>()),
            (AttributeType::CHANNEL_NUMBER, number::<ChannelNumber>()),
            (AttributeType::LIFETIME, number::<Lifetime>()),
            (AttributeType::XOR_PEER_ADDRESS, number::<XorPeerAddress>()),
            (AttributeType::DATA, number::<Data<'_>>()),
            (AttributeType::REALM, number::<Realm>()),
            (AttributeType::NONCE, number::<Nonce>()),
            (AttributeType::XOR_RELAYED_ADDRESS, number::<XorRelayedAddress>()),
            (AttributeType::REQUESTED_ADDRESS_FAMILY, number::<RequestedAddressFamily>()),
            (AttributeType::EVEN_PORT, number::<EvenPort>()),
            (AttributeType::REQUESTED_TRANSPORT, number::<RequestedTransport>()),
            (AttributeType::DONT_FRAGMENT, number::<DontFragment>()),
            (AttributeType::MESSAGE_INTEGRITY_SHA256, number::<MessageIntegritySha256>()),
            (AttributeType::PASSWORD_ALGORITHM, number::<PasswordAlgorithm>()),
            (AttributeType::USERHASH, number::<Userhash>()),
            (AttributeType::XOR_MAPPED_ADDRESS, number::<XorMappedAddress>()),
            (AttributeType::RESERVATION_TOKEN, number::<ReservationToken>()),
            (AttributeType::ADDITIONAL_ADDRESS_FAMILY, number::<AdditionalAddressFamily>()),
            (AttributeType::ADDRESS_ERROR_CODE, number::<AddressErrorCode>()),
            (AttributeType::PASSWORD_ALGORITHMS, number::<PasswordAlgorithms>()),
            (AttributeType::SOFTWARE, number::<Software>()),
            (AttributeType::FINGERPRINT, number::<Fingerprint>()),
        ] {
            assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn half_of_all_types_require_comprehension() {
        for number in 0..=u16::MAX {
            assert_eq!(AttributeType::new(number).is_comprehension_required(), number <= 0x7FFF);
        }
    }

    #[test]
    fn is_shown_by_name_or_number() {
        assert_eq!(AttributeType::XOR_PEER_ADDRESS.to_string(), "XOR-PEER-ADDRESS");
        assert_eq!(AttributeType::new(0x1B).to_string(), "attribute 0x001b");
    }
}
