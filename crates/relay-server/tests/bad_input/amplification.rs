//! A response to a stranger is hardly longer than the request.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{Fate, fate, messages, relay};
use crate::support::{Client, Request, allocate, append, append_integrity, binding, kind, method, refresh};

#[test]
fn an_unauthenticated_answer_is_at_most_twice_as_long_as_an_allocate() {
    let (mut relay, mut client) = relay();
    let message = client.unsigned(&allocate());
    assert_eq!(message.len(), 28, "the smallest Allocate that makes sense");
    let Fate::Answered(response) = fate(&mut relay, &client, &message) else { panic!("a challenge") };
    assert_eq!(response.bytes.len(), 56);

    // A Binding response cannot be shorter than header and XOR-MAPPED-ADDRESS.
    for (socket, length) in [("198.51.100.7:50000", 32), ("[2001:db8:7::5]:50000", 44)] {
        let mut client = Client::new(socket);
        let message = client.unsigned(&binding());
        let Fate::Answered(response) = fate(&mut relay, &client, &message) else { panic!("an answer") };
        assert_eq!((message.len(), response.bytes.len()), (20, length));
    }

    let others = messages(&mut client).into_iter().chain([
        client.unsigned(&Request::new(method::ALLOCATE)),
        client.unsigned(&refresh()),
        client.unsigned(&binding().with(0x7777, &[])),
        client.unsigned(&binding().with(0x7777, &[]).with(0x7778, &[])),
        client.unsigned(&allocate().with(0x7777, &[])),
        half_signed(&mut client, None),
        half_signed(&mut client, Some(kind::USERNAME)),
        half_signed(&mut client, Some(kind::NONCE)),
        client.sign(&allocate()),
    ]);
    let mut unknown = Client::new("198.51.100.7:50001");
    unknown.credentials.key = [0; 16];
    let with_wrong_password = [unknown.sign(&allocate()), unknown.sign(&refresh())];
    let mut answered = 0;
    for message in others.chain(with_wrong_password) {
        let Fate::Answered(response) = fate(&mut relay, &unknown, &message) else { continue };
        answered += 1;
        // A challenge needs 56 bytes, or 64 with a FINGERPRINT, even if the request was shorter.
        let needed = if response.kinds().contains(&kind::FINGERPRINT) { 64 } else { 56 };
        assert!(
            response.bytes.len() <= (2 * message.len()).max(needed),
            "{} to {}",
            response.bytes.len(),
            message.len()
        );
    }
    assert_eq!(answered, 41, "all but two indications and two messages of ChannelData");
}

/// An Allocate with a MESSAGE-INTEGRITY and at most one of USERNAME, REALM and NONCE.
fn half_signed(client: &mut Client, with: Option<u16>) -> Vec<u8> {
    let mut bytes = Request::new(method::ALLOCATE).plain(client.next_transaction());
    if let Some(kind) = with {
        append(&mut bytes, kind, b"");
    }
    append_integrity(&mut bytes, &client.credentials.key);
    bytes
}
