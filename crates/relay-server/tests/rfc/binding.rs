//! RFC 8489, sections 5 and 6, and the Binding method.

use relay_server::{DropReason, Output};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{Client, Relay, binding, kind, method};

#[test]
fn a_malformed_message_is_dropped() {
    let mut relay = Relay::new();
    let mut client = Client::new("198.51.100.7:50000");
    let sound = client.unsigned(&binding().with(kind::SOFTWARE, b"test"));
    assert!(relay.answer(&client, &sound).is_some());

    let broken = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = sound.clone();
        change(&mut bytes);
        bytes
    };
    let cases = [
        (broken(&|bytes| bytes[0] |= 0x80), DropReason::NotStunNorChannelData),
        (broken(&|bytes| bytes[0] |= 0xC0), DropReason::NotStunNorChannelData),
        // Without the cookie, it is a request of RFC 3489, whose length must also be right.
        (broken(&|bytes| (bytes[4], bytes[3]) = (0, 4)), DropReason::NotStunNorChannelData),
        (broken(&|bytes| (bytes[7], bytes[0]) = (0, 1)), DropReason::NotStunNorChannelData),
        (broken(&|bytes| bytes[3] += 1), DropReason::MalformedStun),
        (broken(&|bytes| bytes[3] += 4), DropReason::MalformedStun),
        (broken(&|bytes| bytes[3] -= 4), DropReason::MalformedStun),
        (broken(&|bytes| bytes[2] = 0xFF), DropReason::MalformedStun),
        // SOFTWARE is longer than the message.
        (broken(&|bytes| bytes[23] += 1), DropReason::MalformedStun),
        (broken(&|bytes| bytes.truncate(19)), DropReason::MalformedStun),
        (broken(&|bytes| bytes.extend([0; 4])), DropReason::MalformedStun),
        (Vec::new(), DropReason::NotStunNorChannelData),
    ];
    relay.take_events();
    for (bytes, reason) in cases {
        assert_eq!(relay.answer(&client, &bytes), None, "{bytes:02x?}");
        assert_eq!(relay.take_drops(), [reason], "{bytes:02x?}");
    }
}

#[test]
fn is_answered_with_the_mapped_address() {
    let mut relay = Relay::new();
    for socket in ["198.51.100.7:50000", "[2001:db8:7::5]:61000"] {
        let mut client = Client::new(socket);
        let bytes = client.unsigned(&binding());
        let response = relay.answer(&client, &bytes).unwrap();
        assert_eq!(response.outcome(), Ok(()));
        assert_eq!(response.addresses(kind::XOR_MAPPED_ADDRESS), [client.socket]);
        assert_eq!(response.kinds(), [kind::XOR_MAPPED_ADDRESS]);
    }
    assert_eq!(relay.server.allocation_count(), 0);
}

#[test]
fn the_response_carries_method_and_transaction_id() {
    let mut relay = Relay::new();
    let client = Client::new("198.51.100.7:50000");
    for transaction in [[0; 12], [0xFF; 12], *b"abcdefghijkl"] {
        let response = relay.answer(&client, &binding().unsigned(transaction)).unwrap();
        assert_eq!((response.method, response.transaction), (method::BINDING, transaction));
    }
}

/// <https://www.rfc-editor.org/rfc/rfc5389#section-12.2>
#[test]
fn a_client_of_rfc_3489_is_answered_with_its_plain_address() {
    let mut relay = Relay::new();
    let client = Client::new("198.51.100.7:50000");
    let request = *b"\x00\x01\x00\x00without a cookie";
    assert_eq!(relay.server.handle_client_datagram(relay.now, client.five_tuple(), &request), None);
    let Some(Output::Transmit { from, to, bytes }) = relay.server.poll_output() else { panic!("no answer") };
    assert_eq!((from, to.address()), (client.server, client.socket));
    assert_eq!(bytes, *b"\x01\x01\x00\x0Cwithout a cookie\x00\x01\x00\x08\x00\x01\xC3\x50\xC6\x33\x64\x07");
}
