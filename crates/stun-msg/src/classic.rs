use std::net::{IpAddr, SocketAddr};

use crate::{AttributeType, attribute::Attributes, header::HEADER_LEN};

/// The message type of a Binding request in [RFC 3489](https://www.rfc-editor.org/rfc/rfc3489#section-11.1).
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
/// The message type of its response.
const BINDING_RESPONSE: [u8; 2] = [0x01, 0x01];

/// CHANGE-REQUEST: asks the server to answer from another address or port.
const CHANGE_REQUEST: AttributeType = AttributeType::new(0x0003);
const MAPPED_ADDRESS: [u8; 2] = [0x00, 0x01];

/// A Binding request of [RFC 3489](https://www.rfc-editor.org/rfc/rfc3489), "classic STUN": it has no magic cookie but a longer transaction
/// ID, and its client does not know XOR-MAPPED-ADDRESS. Telephones and PBXs still send it
/// ([RFC 5389, section 12](https://www.rfc-editor.org/rfc/rfc5389#section-12)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassicBinding {
    transaction_id: [u8; 16],
}

impl ClassicBinding {
    /// Parses a request. `None` if `datagram` is not one, or if it asks for a response from another address or port, which a relay cannot
    /// give. Without a response, the client draws the right conclusion about its NAT; with one from this address, the wrong one.
    #[must_use]
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let (header, attributes) = datagram.split_at_checked(HEADER_LEN)?;
        let &[t0, t1, l0, l1, ref transaction_id @ ..] = header else { return None };
        if [t0, t1] != BINDING_REQUEST || usize::from(u16::from_be_bytes([l0, l1])) != attributes.len() {
            return None;
        }
        for attribute in Attributes::new(datagram, HEADER_LEN) {
            let attribute = attribute.ok()?;
            if attribute.kind == CHANGE_REQUEST && attribute.value.iter().any(|byte| *byte != 0) {
                return None;
            }
        }
        Some(Self { transaction_id: transaction_id.try_into().ok()? })
    }

    /// The response that tells the client its address.
    #[must_use]
    pub fn response(&self, mapped: SocketAddr) -> Vec<u8> {
        let (family, octets) = match mapped.ip() {
            IpAddr::V4(ip) => (1, ip.octets().to_vec()),
            IpAddr::V6(ip) => (2, ip.octets().to_vec()),
        };
        // 4 bytes of family and port, then 4 or 16 bytes of address.
        let value_len = if mapped.is_ipv4() { 8_u16 } else { 20 };
        let mut bytes = Vec::with_capacity(HEADER_LEN + 24);
        bytes.extend(BINDING_RESPONSE);
        bytes.extend((4 + value_len).to_be_bytes());
        bytes.extend(self.transaction_id);
        bytes.extend(MAPPED_ADDRESS);
        bytes.extend(value_len.to_be_bytes());
        bytes.extend([0, family]);
        bytes.extend(mapped.port().to_be_bytes());
        bytes.extend(octets);
        bytes
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    const TRANSACTION_ID: [u8; 16] = *b"0123456789abcdef";

    fn request(attributes: &[u8]) -> Vec<u8> {
        let length = u16::try_from(attributes.len()).unwrap().to_be_bytes();
        [&[0, 1][..], &length, &TRANSACTION_ID, attributes].concat()
    }

    #[test]
    fn a_request_is_answered_with_its_transaction_id_and_a_plain_address() {
        let binding = ClassicBinding::parse(&request(&[])).unwrap();
        let response = binding.response("192.0.2.1:258".parse().unwrap());
        let expected = [&[1, 1, 0, 12][..], &TRANSACTION_ID, &[0, 1, 0, 8, 0, 1, 1, 2, 192, 0, 2, 1]].concat();
        assert_eq!(response, expected);
        let v6 = binding.response("[2001:db8::1]:258".parse().unwrap());
        assert_eq!((v6.len(), &v6[20..28]), (44, &[0, 1, 0, 20, 0, 2, 1, 2][..]));
    }

    #[test]
    fn what_asks_for_another_source_is_not_answered() {
        for (flags, is_answered) in [(0, true), (2, false), (4, false), (6, false)] {
            let request = request(&[0, 3, 0, 4, 0, 0, 0, flags]);
            assert_eq!(ClassicBinding::parse(&request).is_some(), is_answered, "flags {flags}");
        }
    }

    #[test]
    fn lengths_must_be_right() {
        let sound = request(&[0, 3, 0, 4, 0, 0, 0, 0]);
        for end in 0..sound.len() {
            assert_eq!(ClassicBinding::parse(&sound[..end]), None, "{end} bytes");
        }
        assert_eq!(ClassicBinding::parse(&[&sound[..], &[0]].concat()), None);
        // An attribute that overruns the message.
        assert_eq!(ClassicBinding::parse(&request(&[0, 3, 0, 5, 0, 0, 0, 0])), None);
        assert_eq!(ClassicBinding::parse(&request(&[0, 3])), None);
    }

    #[test]
    fn other_messages_are_none() {
        for kind in [0x0002_u16, 0x0003, 0x0101, 0x0111, 0x4001] {
            let mut bytes = request(&[]);
            bytes[..2].copy_from_slice(&kind.to_be_bytes());
            assert_eq!(ClassicBinding::parse(&bytes), None, "{kind:#06x}");
        }
    }
}
