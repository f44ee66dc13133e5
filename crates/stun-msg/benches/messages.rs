//! What it takes to tell datagrams apart, to parse each kind of request and to write each kind of response.
#![forbid(unsafe_code)]
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::{
    hint::black_box,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    time::Duration,
};

use criterion::{Criterion, criterion_group, criterion_main};
use stun_msg::{AllocateSuccess, ErrorCode, Message, Method, Response, Transaction, TransactionId, classify};
use stun_types::{
    attribute::{Nonce, Realm, Username},
    message::{IntegrityAlgorithm, LongTermKeyCredentials, MessageWrite, MessageWriteExt},
};
use turn_client::{Allocate, Family, Request, encode_channel_data};

// As long as the relay's own: what is parsed should be as large as in operation.
const USERNAME: &str = "1892160000:n23JJ2wKKtt30oXi";
const PASSWORD: &str = "00hqldgk5xLeKKOB+xls9mHMVtgqzie9DulfgQwMv68";
const REALM: &str = "firezone";
const NONCE: &str = "AAECAwQFBgcI";
const CHANNEL: u16 = 0x4000;
const LIFETIME: Duration = Duration::from_secs(600);

fn client() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 32_853))
}

fn peer() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 1], 50_000))
}

/// A request as an authenticated client sends it.
fn signed(request: &Request) -> Vec<u8> {
    let mut message = request.write(7.into()).unwrap();
    message.add_attribute(&Username::new(USERNAME).unwrap()).unwrap();
    message.add_attribute(&Realm::new(REALM).unwrap()).unwrap();
    message.add_attribute(&Nonce::new(NONCE).unwrap()).unwrap();
    let key = LongTermKeyCredentials::new(USERNAME.to_owned(), PASSWORD.to_owned(), REALM.to_owned())
        .make_key(IntegrityAlgorithm::Sha1);
    message.add_message_integrity_with_key(&key, IntegrityAlgorithm::Sha1).unwrap();
    message.finish()
}

fn binding_with_fingerprint() -> Vec<u8> {
    let mut message = Request::Binding.write(7.into()).unwrap();
    message.add_fingerprint().unwrap();
    message.finish()
}

fn channel_data(len: usize) -> Vec<u8> {
    let mut datagram = Vec::new();
    encode_channel_data(CHANNEL, &vec![7; len], &mut datagram);
    datagram
}

fn classes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("classify");
    let stun = signed(&Request::Refresh { lifetime: Some(LIFETIME) });
    // Other lengths, to show that the data is not looked at.
    let datagrams = [
        ("stun", stun),
        ("channel_data/20", channel_data(20)),
        ("channel_data/1200", channel_data(1_200)),
        ("neither", vec![0xFF; 200]),
    ];
    for (name, datagram) in datagrams {
        assert_eq!(classify(&datagram).is_err(), name == "neither");
        group.bench_function(name, |bencher| bencher.iter(|| classify(black_box(&datagram))));
    }
}

fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    let allocate = Allocate {
        lifetime: Some(LIFETIME),
        additional_family: Some(Family::V6),
        dont_fragment: true,
        ..Allocate::default()
    };
    let requests = [
        ("binding", Request::Binding.write(7.into()).unwrap().finish()),
        ("binding_with_fingerprint", binding_with_fingerprint()),
        ("allocate", signed(&Request::Allocate(Allocate::default()))),
        ("allocate_with_options", signed(&Request::Allocate(allocate))),
        ("refresh", signed(&Request::Refresh { lifetime: Some(LIFETIME) })),
        ("create_permission", signed(&Request::CreatePermission { peers: vec![peer()] })),
        ("channel_bind", signed(&Request::ChannelBind { channel: CHANNEL, peer: peer() })),
    ];
    for (name, datagram) in requests {
        // A refused request would be measured as a cheap one.
        assert!(Message::parse(&datagram).unwrap().request().is_ok(), "{name}");
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let datagram = black_box(datagram.as_slice());
                black_box(classify(datagram).unwrap());
                Message::parse(datagram).unwrap().request().unwrap()
            });
        });
    }
}

fn responses(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("respond");
    let to = |method| Transaction { method, id: TransactionId([7; 12]), fingerprint: false };
    let allocated = AllocateSuccess {
        relayed_v4: Some(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 2), 50_000)),
        relayed_v6: Some(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 50_000, 0, 0)),
        mapped: client(),
        lifetime: LIFETIME,
        reservation_token: None,
        address_error: None,
    };
    // Without a key: signing is measured by `cargo bench -p turn-auth`.
    let responses = [
        ("binding", Response::binding_success(to(Method::BINDING), client())),
        (
            "binding_with_fingerprint",
            Response::binding_success(Transaction { fingerprint: true, ..to(Method::BINDING) }, client()),
        ),
        ("allocate", Response::allocate_success(to(Method::ALLOCATE), allocated)),
        ("refresh", Response::refresh_success(to(Method::REFRESH), LIFETIME)),
        ("create_permission", Response::create_permission_success(to(Method::CREATE_PERMISSION))),
        ("channel_bind", Response::channel_bind_success(to(Method::CHANNEL_BIND))),
        (
            "challenge",
            Response::error(to(Method::ALLOCATE), ErrorCode::UNAUTHENTICATED).challenge(REALM, NONCE.as_bytes()),
        ),
    ];
    for (name, response) in responses {
        group.bench_function(name, |bencher| bencher.iter(|| black_box(&response).clone().finish(None)));
    }
}

criterion_group!(benches, classes, requests, responses);
criterion_main!(benches);
