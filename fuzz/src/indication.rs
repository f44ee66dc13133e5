use std::net::{IpAddr, SocketAddr};

use stun_msg::{Class, DataHeader, Message, Method, SendError, SendIndication, TransactionId};

use crate::input::{self, Input};

const SEND: u16 = 0x0016;
pub(crate) const XOR_PEER_ADDRESS: u16 = 0x0012;
const DATA: u16 = 0x0013;
const DONT_FRAGMENT: u16 = 0x001A;

/// Send indications with a right header and any attributes are read as a second, simpler reader reads them; Data indications with any
/// content are read back.
pub fn indication(input: &[u8]) {
    let mut input = Input(input);
    if input.flag() {
        check_send(&input::message(SEND, &mut input));
    } else {
        let (transaction, peer) = (TransactionId(input.array()), input.address());
        check_data(transaction, peer, input.0);
    }
}

/// Reads a Send indication in two ways.
pub(crate) fn check_send(bytes: &[u8]) {
    let read = SendIndication::parse(bytes);
    let Ok(message) = Message::parse(bytes) else {
        assert!(read.is_err(), "no sound message");
        return;
    };
    assert_eq!((message.class(), message.method()), (Class::Indication, Method::SEND));
    let attributes = covered_attributes(bytes);
    let first = |kind| attributes.iter().find(|(other, ..)| *other == kind).copied();
    let peer = first(XOR_PEER_ADDRESS).map(|(_, start, len)| xor_address(bytes, &bytes[start..start + len]));
    let payload = first(DATA).map(|(_, start, len)| start..start + len);
    match read {
        Ok(send) => {
            assert_eq!(Some(Some(send.peer)), peer);
            assert_eq!(Some(send.payload), payload);
            assert_eq!(send.dont_fragment, first(DONT_FRAGMENT).is_some());
        }
        Err(SendError::NoPeer) => assert!(matches!(peer, None | Some(None))),
        Err(SendError::NoData) => assert_eq!(payload, None),
        Err(SendError::UnknownAttribute(kind)) => {
            assert!(kind.is_comprehension_required() && kind.name().is_none());
            assert!(first(kind.number()).is_some());
        }
        Err(error) => panic!("a sound message is refused: {error}"),
    }
}

/// The type of each attribute in front of what protects them, and where in `bytes` its value starts and how long it is.
pub(crate) fn covered_attributes(bytes: &[u8]) -> Vec<(u16, usize, usize)> {
    let number = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let (mut attributes, mut at) = (Vec::new(), 20);
    while at < bytes.len() {
        let (kind, len) = (number(at), usize::from(number(at + 2)));
        // MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256, FINGERPRINT
        if matches!(kind, 0x0008 | 0x001C | 0x8028) {
            break;
        }
        attributes.push((kind, at + 4, len));
        at += 4 + len.next_multiple_of(4);
    }
    attributes
}

pub(crate) fn xor_address(message: &[u8], value: &[u8]) -> Option<SocketAddr> {
    let unmasked: Vec<u8> = value.iter().skip(4).zip(&message[4..20]).map(|(byte, mask)| byte ^ mask).collect();
    let ip = match (value.get(1)?, value.len()) {
        (1, 8) => IpAddr::from(<[u8; 4]>::try_from(unmasked).ok()?),
        (2, 20) => IpAddr::from(<[u8; 16]>::try_from(unmasked).ok()?),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes([value[2] ^ message[4], value[3] ^ message[5]])))
}

fn check_data(transaction: TransactionId, peer: SocketAddr, payload: &[u8]) {
    let Ok(len) = u16::try_from(payload.len()) else { return };
    let header = DataHeader::new(transaction, peer, len);
    let padding = DataHeader::padding(payload.len());
    let mut bytes = [header.as_bytes(), payload, &[0; 3][..padding]].concat();
    if bytes.len() - 20 > usize::from(u16::MAX) {
        return;
    }
    let message = Message::parse(&bytes).expect("our own indication");
    assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
    assert_eq!(message.transaction_id(), transaction);
    // A Data indication is a Send indication but for its type.
    bytes[..2].copy_from_slice(&SEND.to_be_bytes());
    let send = SendIndication::parse(&bytes).expect("a Send indication");
    assert_eq!((send.peer, &bytes[send.payload], send.dont_fragment), (peer, payload, false));
}
