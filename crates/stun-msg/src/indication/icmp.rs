//! Data indications that report an ICMP error.

use std::net::SocketAddr;

use stun_types::message::{Message, MessageClass, MessageType, MessageWrite as _, MessageWriteVec};
use turn_types::attribute::{Icmp as IcmpAttribute, XorPeerAddress};

use crate::TransactionId;

/// An [ICMP attribute](https://www.rfc-editor.org/rfc/rfc8656#section-18.13): why a datagram did not reach a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Icmp {
    /// The type of the ICMP message, or of the ICMPv6 message if the peer has an IPv6 address.
    pub icmp_type: u8,
    /// Its code.
    pub code: u8,
    /// The MTU of the next hop in bytes, if the datagram was too large for it; otherwise zero.
    pub error_data: u32,
}

impl Icmp {
    /// A [Data indication](https://www.rfc-editor.org/rfc/rfc8656#section-11.5) that reports this error of a datagram to `peer`, whose port
    /// is zero if it is not known.
    #[must_use]
    pub fn data_indication(self, id: TransactionId, peer: SocketAddr) -> Vec<u8> {
        let Self { icmp_type, code, error_data } = self;
        let kind = MessageType::from_class_method(MessageClass::Indication, turn_types::message::DATA);
        let mut message = Message::builder(kind, id.into(), MessageWriteVec::with_capacity(64));
        message.push_attribute_unchecked(&XorPeerAddress::new(peer, id.into()));
        message.push_attribute_unchecked(&IcmpAttribute::new(icmp_type, code, error_data));
        message.finish()
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    const ID: TransactionId = TransactionId(*b"transaction!");

    #[test]
    fn the_indication_has_the_layout_of_the_rfc() {
        let icmp = Icmp { icmp_type: 3, code: 4, error_data: 1_280 };
        let bytes = icmp.data_indication(ID, "203.0.113.1:9".parse().unwrap());
        assert_eq!(bytes[..8], [0x00, 0x17, 0, 24, 0x21, 0x12, 0xA4, 0x42]);
        assert_eq!(bytes[8..20], ID.0);
        let peer = [0x00, 0x12, 0, 8, 0, 1, 0x21, 0x12 ^ 9, 203 ^ 0x21, 0x12, 113 ^ 0xA4, 1 ^ 0x42];
        assert_eq!(bytes[20..32], peer);
        assert_eq!(bytes[32..], [0x80, 0x04, 0, 8, 0, 0, 3, 4, 0, 0, 0x05, 0x00]);
    }

    #[test]
    fn a_peer_in_ipv6_has_a_longer_address() {
        let icmp = Icmp { icmp_type: 1, code: 4, error_data: 0 };
        let bytes = icmp.data_indication(ID, "[2001:db8::9]:9".parse().unwrap());
        assert_eq!((bytes.len(), &bytes[..4], &bytes[20..24]), (56, &[0, 0x17, 0, 36][..], &[0, 0x12, 0, 20][..]));
        assert_eq!(bytes[44..], [0x80, 0x04, 0, 8, 0, 0, 1, 4, 0, 0, 0, 0]);
    }
}
