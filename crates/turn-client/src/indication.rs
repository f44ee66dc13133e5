use std::net::SocketAddr;

use stun_types::{
    attribute::AttributeFromRaw as _,
    message::{Message, MessageClass, MessageType, MessageWriteVec, TransactionId},
    prelude::*,
};
use turn_types::attribute::{Data, DontFragment, Icmp, XorPeerAddress};

/// A [Send indication](https://www.rfc-editor.org/rfc/rfc8656#section-11.1) to `peer`, with or without FINGERPRINT.
///
/// # Panics
///
/// Never: the attributes are few and each is there once. A payload that does not fit is left out.
#[must_use]
pub fn encode_send_indication(peer: SocketAddr, payload: &[u8], transaction: u128, with_fingerprint: bool) -> Vec<u8> {
    let transaction = TransactionId::from(transaction);
    let kind = MessageType::from_class_method(MessageClass::Indication, turn_types::message::SEND);
    let mut message = Message::builder(kind, transaction, MessageWriteVec::new());
    message.push_attribute_unchecked(&XorPeerAddress::new(peer, transaction));
    message.push_attribute_unchecked(&Data::new(payload));
    if with_fingerprint {
        // An error only for a second FINGERPRINT.
        let _added = message.add_fingerprint();
    }
    message.finish()
}

/// A Send indication with DONT-FRAGMENT: it asks the server to send `payload` with the DF bit.
///
/// # Panics
///
/// Never: the attributes are few and each is there once. A payload that does not fit is left out.
#[must_use]
pub fn encode_unfragmented_send_indication(peer: SocketAddr, payload: &[u8], transaction: u128) -> Vec<u8> {
    let transaction = TransactionId::from(transaction);
    let kind = MessageType::from_class_method(MessageClass::Indication, turn_types::message::SEND);
    let mut message = Message::builder(kind, transaction, MessageWriteVec::new());
    message.push_attribute_unchecked(&XorPeerAddress::new(peer, transaction));
    message.push_attribute_unchecked(&DontFragment::new());
    message.push_attribute_unchecked(&Data::new(payload));
    message.finish()
}

/// An ICMP error that a [Data indication](https://www.rfc-editor.org/rfc/rfc8656#section-11.6) reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// The peer that a datagram did not reach; the port is zero if the server does not know it.
    pub peer: SocketAddr,
    /// The type of the ICMP message.
    pub icmp_type: u8,
    /// Its code.
    pub code: u8,
    /// The MTU in bytes if the datagram was too large; otherwise zero.
    pub error_data: u32,
}

/// The ICMP error that `datagram` reports, or `None` if it reports none.
#[must_use]
pub fn decode_icmp_indication(datagram: &[u8]) -> Option<IcmpError> {
    let message = Message::from_bytes(datagram).ok()?;
    if message.class() != MessageClass::Indication || message.method() != turn_types::message::DATA {
        return None;
    }
    let peer = message.attribute::<XorPeerAddress>().ok()?.addr(message.transaction_id());
    let icmp = message.attribute::<Icmp>().ok()?;
    Some(IcmpError { peer, icmp_type: icmp.icmp_type(), code: icmp.code(), error_data: icmp.data() })
}

/// The peer and payload of a [Data indication](https://www.rfc-editor.org/rfc/rfc8656#section-11.4), or `None` if `datagram` is not one.
#[must_use]
pub fn decode_data_indication(datagram: &[u8]) -> Option<(SocketAddr, Vec<u8>)> {
    let message = Message::from_bytes(datagram).ok()?;
    if message.class() != MessageClass::Indication || message.method() != turn_types::message::DATA {
        return None;
    }
    let peer = message.attribute::<XorPeerAddress>().ok()?.addr(message.transaction_id());
    let raw = message.raw_attribute(Data::TYPE)?;
    Some((peer, Data::from_raw(raw).ok()?.data().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_indication_is_what_the_rfc_says() {
        let datagram = encode_send_indication("198.51.100.9:7000".parse().unwrap(), b"hello", 7, false);
        assert_eq!(datagram.len(), 20 + 12 + 4 + 8);
        assert_eq!(datagram[..8], [0x00, 0x16, 0, 24, 0x21, 0x12, 0xA4, 0x42]);
        assert_eq!(datagram[20..24], [0x00, 0x12, 0, 8]);
        assert_eq!(datagram[32..], [&[0x00, 0x13, 0, 5][..], b"hello\0\0\0"].concat());
        assert_eq!(decode_data_indication(&datagram), None);
        let mut data = datagram;
        data[1] = 0x17;
        let expected = ("198.51.100.9:7000".parse().unwrap(), b"hello".to_vec());
        assert_eq!(decode_data_indication(&data), Some(expected));
    }

    #[test]
    fn dont_fragment_has_no_value() {
        let datagram = encode_unfragmented_send_indication("198.51.100.9:7000".parse().unwrap(), b"data", 7);
        assert_eq!(datagram[32..], [&[0x00, 0x1A, 0, 0, 0x00, 0x13, 0, 4][..], b"data"].concat());
    }

    #[test]
    fn an_icmp_error_is_read() {
        let header = [0x00, 0x17, 0, 24, 0x21, 0x12, 0xA4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
        let peer = [0x00, 0x12, 0, 8, 0, 1, 0x21, 0x12 ^ 9, 203 ^ 0x21, 0x12, 113 ^ 0xA4, 1 ^ 0x42];
        let datagram = [&header[..], &peer, &[0x80, 0x04, 0, 8, 0, 0, 3, 4, 0, 0, 5, 0]].concat();
        let peer = "203.0.113.1:9".parse().unwrap();
        let expected = IcmpError { peer, icmp_type: 3, code: 4, error_data: 1_280 };
        assert_eq!(decode_icmp_indication(&datagram), Some(expected));
        assert_eq!(decode_data_indication(&datagram), None);
    }
}
