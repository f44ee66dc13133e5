//! The published test vectors: [RFC 5769](https://www.rfc-editor.org/rfc/rfc5769) and appendix B.1 of
//! [RFC 8489](https://www.rfc-editor.org/rfc/rfc8489#appendix-B.1).

use md5::Md5;
use sha2::{Digest, Sha256};
use stun_types::{
    attribute::{AttributeFromRaw, AttributeStaticType, RawAttribute, XorMappedAddress},
    message::TransactionId,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::{
    AttributeType, Class, IntegrityError, IntegrityKey, Message, Method, ParseError, PasswordAlgorithm, Request,
    RequestError, Response,
    testing::{self, VECTORS, unhex},
};

const SHORT_TERM: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";
const USERNAME: &str = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}";

/// Each vector with the key of its MESSAGE-INTEGRITY(-SHA256).
fn vectors() -> [(Vec<u8>, Vec<u8>); 5] {
    let long_term = format!("{USERNAME}:example.org:TheMatrIX");
    let keys = [
        SHORT_TERM.to_vec(),
        SHORT_TERM.to_vec(),
        SHORT_TERM.to_vec(),
        Md5::digest(&long_term).to_vec(),
        Sha256::digest(&long_term).to_vec(),
    ];
    let mut keys = keys.into_iter();
    VECTORS.map(|vector| (unhex(vector), keys.next().unwrap()))
}

#[test]
fn vectors_are_accepted() {
    for (bytes, key) in vectors() {
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.method(), Method::BINDING);
        assert_eq!(message.verify(&key), Ok(()));
    }
}

/// Every changed bit is noticed, except in the type of FINGERPRINT: that makes it another attribute after MESSAGE-INTEGRITY, which
/// is ignored.
#[test]
fn changed_vectors_are_refused() {
    for (bytes, key) in vectors() {
        let fingerprint_type = bytes.windows(4).position(|window| window == [0x80, 0x28, 0x00, 0x04]);
        for bit in 0..bytes.len() * 8 {
            if fingerprint_type.is_some_and(|at| (at..at + 2).contains(&(bit / 8))) {
                continue;
            }
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let refused = match Message::parse(&changed) {
                Err(_) => true,
                Ok(message) => message.verify(&key).is_err(),
            };
            assert!(refused, "bit {bit} of {}", hex::encode(&bytes));
        }
    }
}

#[test]
fn truncated_vectors_are_refused() {
    for (bytes, _) in vectors() {
        for len in 0..bytes.len() {
            assert!(Message::parse(&bytes[..len]).is_err(), "{len} bytes");
        }
    }
}

#[test]
fn the_sample_request_has_its_attributes() {
    let bytes = unhex(VECTORS[0]);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.class(), Class::Request);
    assert_eq!(message.transaction_id().0[..], unhex("b7e7a701bc34d686fa87dfae"));
    assert_eq!(message.username(), Some(b"evtj:h6vY".as_slice()));
    assert!(message.has_integrity() && message.has_fingerprint());
    // It is a connectivity check between ICE peers. A server does not know PRIORITY.
    assert_eq!(message.request(), Err(RequestError::UnknownAttributes(vec![AttributeType::new(0x0024)])));
}

#[test]
fn the_sample_responses_have_the_address_that_we_answer_with() {
    let addresses = ["192.0.2.1:32853", "[2001:db8:1234:5678:11:2233:4455:6677]:32853"];
    for (vector, address) in VECTORS[1..].iter().zip(addresses) {
        let bytes = unhex(vector);
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.class(), Class::Success);

        let ours = Response::binding_success(message.transaction(), address.parse().unwrap()).finish(None);
        let mapped = |bytes: &[u8]| {
            testing::attributes(bytes).into_iter().find(|(kind, ..)| *kind == XorMappedAddress::TYPE.value()).unwrap().1
        };
        assert_eq!(mapped(&ours), mapped(&bytes));

        let value = mapped(&bytes);
        let id: TransactionId = message.transaction_id().into();
        let read = XorMappedAddress::from_raw(RawAttribute::new(XorMappedAddress::TYPE, &value)).unwrap();
        assert_eq!(read.addr(id), address.parse().unwrap());
    }
}

#[test]
fn the_long_term_request_is_authenticated_by_its_key() {
    let bytes = unhex(VECTORS[3]);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.username(), Some(USERNAME.as_bytes()));
    assert_eq!(message.realm(), Some(b"example.org".as_slice()));
    assert_eq!(message.nonce(), Some(b"f//499k954d6OL34oL9FSTvy64sA".as_slice()));
    assert_eq!(message.request(), Ok(Request::Binding));

    let verify = |username, realm, password| {
        message.verify_integrity(&IntegrityKey::long_term(PasswordAlgorithm::Md5, username, realm, password))
    };
    assert_eq!(verify(USERNAME, "example.org", "TheMatrIX"), Ok(()));
    for (username, realm, password) in
        [("user", "example.org", "TheMatrIX"), (USERNAME, "example.net", "TheMatrIX"), (USERNAME, "example.org", "")]
    {
        assert_eq!(verify(username, realm, password), Err(IntegrityError::Mismatch));
    }
}

#[test]
fn the_sha256_request_has_its_attributes() {
    let bytes = unhex(VECTORS[4]);
    let message = Message::parse(&bytes).unwrap();
    assert!(message.has_userhash() && message.has_integrity() && message.username().is_none());
    assert_eq!(message.request(), Ok(Request::Binding));
}

#[test]
fn a_wrong_fingerprint_is_told_apart() {
    let mut bytes = unhex(VECTORS[0]);
    *bytes.last_mut().unwrap() ^= 1;
    assert_eq!(Message::parse(&bytes).unwrap_err(), ParseError::FingerprintMismatch);
}
