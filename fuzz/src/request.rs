use stun_msg::{AttributeType, Class, ErrorCode, IntegrityKey, Message, PasswordAlgorithm, Request, RequestError, Response};

use crate::{
    indication::{XOR_PEER_ADDRESS, covered_attributes, xor_address},
    input::{self, Input},
};

/// Requests with a right header and any attributes are typed or refused, and the refusal is read back.
pub fn request(input: &[u8]) {
    let mut input = Input(input);
    let message_type = input.u16();
    let bytes = input::message(message_type, &mut input);
    if let Ok(message) = Message::parse(&bytes) {
        check_request(&message);
    }
}

pub(crate) fn check_request(message: &Message<'_>) {
    let key = IntegrityKey::long_term(PasswordAlgorithm::Md5, "user", "realm", "pass");
    assert!(message.verify_integrity(&key).is_err(), "nobody knows this key");

    match message.request() {
        Ok(Request::CreatePermission(permission)) => {
            let bytes = message.as_bytes();
            let attributes = covered_attributes(bytes).into_iter().filter(|(kind, ..)| *kind == XOR_PEER_ADDRESS);
            let peers = attributes.map(|(_, start, len)| xor_address(bytes, &bytes[start..start + len]));
            assert_eq!(permission.peers.into_iter().map(Some).collect::<Vec<_>>(), peers.collect::<Vec<_>>());
        }
        Ok(_) => assert_eq!(message.class(), Class::Request),
        Err(RequestError::NotARequest) => assert_ne!(message.class(), Class::Request),
        Err(RequestError::UnknownAttributes(list)) => {
            assert!(list.is_sorted_by(|a, b| a < b), "each once");
            assert!(!list.is_empty() && list.iter().all(|kind| kind.is_comprehension_required()));
            check_refusal(message, ErrorCode::UNKNOWN_ATTRIBUTE, &list);
        }
        Err(RequestError::Malformed { .. }) => check_refusal(message, ErrorCode::BAD_REQUEST, &[]),
        Err(_) => {}
    }
}

fn check_refusal(message: &Message<'_>, code: ErrorCode, unknown: &[AttributeType]) {
    let transaction = message.transaction();
    let bytes = Response::error(transaction, code).unknown_attributes(unknown).finish(None);
    let answer = Message::parse(&bytes).expect("our own answer");
    assert_eq!((answer.class(), answer.transaction()), (Class::Error, transaction));
    // No amplifier: the reason phrase is at most 32 bytes, and what is listed was twice as long in the request.
    assert!(bytes.len() <= message.as_bytes().len() + 48);
}
