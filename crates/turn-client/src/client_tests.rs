use std::net::SocketAddr;

use stun_types::{attribute::XorMappedAddress, message::MessageWriteVec};
use turn_types::attribute::{Lifetime, XorPeerAddress, XorRelayedAddress};

use super::*;
use crate::{Allocate, Success};

#[expect(clippy::disallowed_methods, reason = "an epoch for the tests' own time")]
fn epoch() -> Instant {
    Instant::now()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn client() -> TurnClient {
    TurnClient::new(Credentials::new("user", "pass"), 1)
}

fn key() -> IntegrityKey {
    LongTermKeyCredentials::new("user".into(), "pass".into(), "realm".into()).make_key(IntegrityAlgorithm::Sha1)
}

fn refusal(request: &[u8], code: u16, nonce: Option<&str>) -> Vec<u8> {
    let request = Message::from_bytes(request).unwrap();
    let mut response = Message::builder_error(&request, MessageWriteVec::new());
    response.add_attribute(&ErrorCode::new(code, "no").unwrap()).unwrap();
    if let Some(nonce) = nonce {
        response.add_attribute(&Realm::new("realm").unwrap()).unwrap();
        response.add_attribute(&Nonce::new(nonce).unwrap()).unwrap();
    }
    response.finish()
}

fn allocated(request: &[u8], key: Option<&IntegrityKey>) -> Vec<u8> {
    let request = Message::from_bytes(request).unwrap();
    let transaction = request.transaction_id();
    let mut response = Message::builder_success(&request, MessageWriteVec::new());
    response.push_attribute_unchecked(&XorRelayedAddress::new(address("192.0.2.1:50000"), transaction));
    response.push_attribute_unchecked(&XorRelayedAddress::new(address("[2001:db8::1]:50000"), transaction));
    response.add_attribute(&XorMappedAddress::new(address("192.0.2.9:9"), transaction)).unwrap();
    response.add_attribute(&Lifetime::new(600)).unwrap();
    if let Some(key) = key {
        response.add_message_integrity_with_key(key, IntegrityAlgorithm::Sha1).unwrap();
    }
    response.finish()
}

#[test]
fn a_challenge_is_followed_and_both_relayed_addresses_are_read() {
    let (now, mut client) = (epoch(), client());
    let id = client.request(now, Request::Allocate(Allocate::default()));
    let first = client.poll_transmit().unwrap();
    assert!(Message::from_bytes(&first).unwrap().raw_attribute(Username::TYPE).is_none());
    assert_eq!(client.handle_datagram(now, &refusal(&first, 401, Some("n1"))), Received::Response);
    assert_eq!(client.poll_answer(), None);

    let second = client.poll_transmit().unwrap();
    let signed = Message::from_bytes(&second).unwrap();
    assert_eq!(signed.attribute::<Nonce>().unwrap().nonce(), "n1");
    assert!(signed.validate_integrity_with_key(&key()).is_ok());
    client.handle_datagram(now, &allocated(&second, Some(&key())));
    let (answered, answer) = client.poll_answer().unwrap();
    let Ok(Success::Allocated(allocated)) = answer else { panic!("{answer:?}") };
    assert_eq!((answered, client.requests_pending()), (id, 0));
    assert_eq!(allocated.relayed, [address("192.0.2.1:50000"), address("[2001:db8::1]:50000")]);
    assert_eq!(allocated.relayed_towards(address("[::1]:1")), Some(address("[2001:db8::1]:50000")));
    assert_eq!(allocated.lifetime, Duration::from_secs(600));
}

#[test]
fn a_stale_nonce_is_replaced_but_not_for_ever() {
    let (now, mut client) = (epoch(), client());
    client.request(now, Request::Refresh { lifetime: None });
    let mut transmissions = 0;
    while let Some(request) = client.poll_transmit() {
        transmissions += 1;
        client.handle_datagram(now, &refusal(&request, 438, Some("stale")));
    }
    assert_eq!(transmissions, 1 + u32::from(MAX_CHALLENGES));
    assert_eq!(client.poll_answer().unwrap().1.unwrap_err().code(), Some(438));
}

#[test]
fn wrong_credentials_are_refused_once() {
    let (now, mut client) = (epoch(), client());
    client.request(now, Request::Refresh { lifetime: None });
    let first = client.poll_transmit().unwrap();
    client.handle_datagram(now, &refusal(&first, 401, Some("n")));
    let second = client.poll_transmit().unwrap();
    client.handle_datagram(now, &refusal(&second, 401, Some("n")));
    assert_eq!(client.poll_transmit(), None);
    assert_eq!(client.poll_answer().unwrap().1.unwrap_err().code(), Some(401));
}

#[test]
fn an_unsigned_success_is_not_believed() {
    let (now, mut client) = (epoch(), client());
    client.request(now, Request::Allocate(Allocate::default()));
    let first = client.poll_transmit().unwrap();
    client.handle_datagram(now, &refusal(&first, 401, Some("n")));
    let second = client.poll_transmit().unwrap();
    client.handle_datagram(now, &allocated(&second, None));
    assert_eq!(client.poll_answer().unwrap().1, Err(Failure::BadIntegrity));
}

#[test]
fn retransmits_on_the_schedule_of_rfc_8489_and_then_gives_up() {
    let (start, mut client) = (epoch(), client());
    client.request(start, Request::Binding);
    let first = client.poll_transmit().unwrap();
    let (mut at, mut end) = (Vec::new(), start);
    while let Some(due) = client.poll_timeout() {
        end = due;
        client.handle_timeout(due);
        assert!(client.poll_timeout().is_none_or(|next| next > due));
        while let Some(again) = client.poll_transmit() {
            assert_eq!(again, first);
            at.push((due - start).as_millis());
        }
    }
    assert_eq!(at, [500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    assert_eq!(end - start, Duration::from_millis(39_500));
    assert_eq!(client.poll_answer().unwrap().1, Err(Failure::TimedOut));
}

#[test]
fn one_request_carries_several_peers() {
    let (now, mut client) = (epoch(), client());
    let peers = vec![address("192.0.2.1:1"), address("192.0.2.2:2")];
    client.request(now, Request::CreatePermission { peers: peers.clone() });
    let request = client.poll_transmit().unwrap();
    let message = Message::from_bytes(&request).unwrap();
    let read = |n| message.nth_attribute::<XorPeerAddress>(n).unwrap().addr(message.transaction_id());
    assert_eq!([read(0), read(1)], peers[..]);
}

#[test]
fn strangers_and_noise_are_ignored() {
    let (now, mut client) = (epoch(), client());
    client.request(now, Request::Binding);
    let request = client.poll_transmit().unwrap();
    let other = TurnClient::new(Credentials::new("user", "pass"), 2).tap_request(now);
    for datagram in [&[][..], &[0; 3], &[0xFF; 20], &request, &refusal(&other, 400, None)] {
        assert_eq!(client.handle_datagram(now, datagram), Received::Ignored);
    }
    assert_eq!(client.requests_pending(), 1);
    let data = [0x40, 0x00, 0x00, 0x01, 9];
    assert_eq!(client.handle_datagram(now, &data), Received::Data { channel: 0x4000, payload: &[9] });
}

impl TurnClient {
    fn tap_request(mut self, now: Instant) -> Vec<u8> {
        self.request(now, Request::Binding);
        self.poll_transmit().unwrap()
    }
}
