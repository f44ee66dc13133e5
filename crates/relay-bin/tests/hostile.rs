//! Whatever strangers send, the relay keeps serving and its memory does not grow.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use test_support::{
    echo::Echo,
    relay::{self, Relay, credentials},
};
use turn_client::{Allocate, BlockingClient, Received, Request, TurnClient, encode_channel_data};

const SEED: u64 = 4;

/// How often to retry what a flood may delay, and for how long each time. 100 s in all, since a debug build on a busy machine needs
/// time to empty its queues.
const TRIES: u32 = 500;
const EACH_TRY: Duration = Duration::from_millis(200);

/// Valid messages, to be mangled.
fn messages() -> Vec<Vec<u8>> {
    let now = Instant::now();
    let peer = "127.0.0.1:9".parse().unwrap();
    let mut client = TurnClient::new(credentials("a"), SEED);
    let requests = [
        Request::Binding,
        Request::Allocate(Allocate {
            lifetime: Some(Duration::from_secs(600)),
            even_port: Some(true),
            dont_fragment: true,
            ..Allocate::default()
        }),
        Request::Allocate(Allocate { reservation_token: Some(7), ..Allocate::default() }),
        Request::Refresh { lifetime: Some(Duration::ZERO) },
        Request::CreatePermission { peers: vec![peer, "[::1]:9".parse().unwrap()] },
        Request::ChannelBind { channel: 0x4000, peer },
    ];
    for request in requests {
        client.request(now, request);
    }
    let mut messages: Vec<Vec<u8>> = std::iter::from_fn(|| client.poll_transmit()).collect();
    let mut data = Vec::new();
    encode_channel_data(0x4000, b"application data", &mut data);
    messages.push(data);
    messages
}

/// Authenticated messages that must not succeed: they are sent from another address than the one that the nonce was given to.
fn signed_messages(relay: &Relay) -> Vec<Vec<u8>> {
    let now = Instant::now();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(relay.v4()).unwrap();
    socket.set_read_timeout(Some(EACH_TRY)).unwrap();
    let mut client = TurnClient::new(credentials("a"), SEED);
    client.request(now, Request::Refresh { lifetime: None });
    let request = client.poll_transmit().unwrap();
    let mut buffer = [0; 2048];
    // After a flood from the same prefix, the relay answers strangers only a few times a second.
    let mut ask = || socket.send(&request).and_then(|_| socket.recv(&mut buffer)).ok();
    let length = (0..TRIES).find_map(|_| ask()).unwrap();
    assert_eq!(client.handle_datagram(now, &buffer[..length]), Received::Response);
    client.request(now, Request::Allocate(Allocate::default()));
    std::iter::from_fn(|| client.poll_transmit()).collect()
}

/// A mangled copy of one of `messages`: truncated, extended, with flipped bits, spliced, or replaced by noise.
fn mangled(rng: &mut ChaCha8Rng, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut datagram = messages[rng.random_range(0..messages.len())].clone();
    match rng.random_range(0..5) {
        0 => datagram.truncate(rng.random_range(0..=datagram.len())),
        1 => {
            let grown = datagram.len() + rng.random_range(0..1_000);
            datagram.resize(grown, rng.random());
        }
        2 => {
            for _ in 0..rng.random_range(1..8) {
                let at = rng.random_range(0..datagram.len());
                datagram[at] ^= 1 << rng.random_range(0..8);
            }
        }
        3 => {
            let other = &messages[rng.random_range(0..messages.len())];
            let at = rng.random_range(0..datagram.len());
            datagram.truncate(at);
            datagram.extend(&other[rng.random_range(0..other.len())..]);
        }
        _ => {
            datagram = vec![0; rng.random_range(0..2_000)];
            rng.fill_bytes(&mut datagram);
        }
    }
    datagram
}

/// Sends `count` mangled datagrams from a few sockets, some of them to `relayed`.
fn flood(relay: &Relay, relayed: SocketAddr, seed: u64, count: usize) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut messages = messages();
    messages.extend(signed_messages(relay));
    // Not the address of the good client's peer, which that client has permitted.
    let sockets: Vec<UdpSocket> = (0..8).map(|_| UdpSocket::bind("127.0.0.2:0").unwrap()).collect();
    for index in 0..count {
        let datagram = mangled(&mut rng, &messages);
        let to = if index % 8 == 7 { relayed } else { relay.v4() };
        // A full queue loses datagrams, as any network may.
        let _ = sockets[index % sockets.len()].send_to(&datagram, to);
    }
}

fn allocate_and_bind(relay: &Relay, echo: &Echo) -> (BlockingClient, SocketAddr) {
    let mut client = relay.client(relay.v4(), "good");
    let relayed = relay::allocate_and_bind(&mut client, 0x4000, echo.address);
    (client, relayed)
}

fn still_relays(relay: &mut Relay, client: &mut BlockingClient) {
    // The flood may have filled a queue on this path, too.
    let came_back = (0..TRIES).any(|_| {
        assert!(relay.is_running());
        client.send(0x4000, b"hello").unwrap();
        client.receive(EACH_TRY).unwrap() == Some((0x4000, b"hello".to_vec()))
    });
    assert!(came_back);
}

#[test]
fn garbage_harms_neither_clients_nor_memory() {
    println!("seed {SEED}; repeat with: cargo test -p relay-bin --test hostile garbage");
    let mut relay = Relay::start(&["--workers", "2"]);
    let echo = Echo::start(relay.v4());
    let (mut client, relayed) = allocate_and_bind(&relay, &echo);
    // The first flood allocates buffers that the relay keeps.
    flood(&relay, relayed, SEED, 100_000);
    still_relays(&mut relay, &mut client);
    let before = relay.resident_kib();
    for round in 1..=4 {
        flood(&relay, relayed, SEED + round, 100_000);
        still_relays(&mut relay, &mut client);
    }
    let after = relay.resident_kib();
    assert!(relay.is_running());
    assert!(after <= before + 1_024, "resident memory grew from {before} KiB to {after} KiB");
    allocate_and_bind(&relay, &echo);

    let end = relay.stop();
    assert_eq!(end.status.code(), Some(0), "{}", end.log);
    for reason in ["NotStunNorChannelData", "MalformedStun", "NoAllocation", "UnknownPeer", "ReplyLimit"] {
        assert!(end.log.contains(reason), "{reason} is not in {}", end.log);
    }
    assert!(end.log.lines().count() < 20, "strangers fill the log:\n{}", end.log);
}

#[test]
fn strangers_that_never_authenticate_leave_nothing_behind() {
    let relay = Relay::start(&["--workers", "2"]);
    let allocate = &messages()[1];
    let ask = |rounds: usize| {
        for _ in 0..rounds {
            // Each socket is a client that is new to the relay.
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            for _ in 0..50 {
                let _ = socket.send_to(allocate, relay.v4());
            }
        }
        relay.client(relay.v4(), "a").mapped_address().unwrap();
    };
    ask(500);
    let before = relay.resident_kib();
    ask(4_000);
    let after = relay.resident_kib();
    assert!(after <= before + 1_024, "resident memory grew from {before} KiB to {after} KiB");
}

#[test]
fn absurd_usernames_are_refused() {
    let mut relay = Relay::start(&[]);
    for username in [
        "",
        ":",
        "0:salt",
        "-1:salt",
        "9223372036854775808:salt",
        "18446744073709551615:salt",
        "18446744073709551616:salt",
        "99999999999999999999999999999999999999:salt",
        "+4000000000:salt",
        "4000000000",
        "4000000000:",
        "not a number:salt",
        "4000000000:salt:with:colons",
    ] {
        let credentials = turn_client::Credentials::new(username, "password");
        let mut client = BlockingClient::connect(relay.v4(), credentials).unwrap();
        let refusal = client.allocate(Allocate::default()).unwrap_err();
        assert_eq!(refusal.code(), Some(401), "{username:?}: {refusal}");
    }
    assert!(relay.is_running());
}

#[test]
fn oversized_and_empty_datagrams_are_dropped() {
    let mut relay = Relay::start(&[]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for length in [0, 1, 3, 4, 19, 20, 65_507] {
        for first in [0x00, 0x40, 0x7F, 0x80, 0xFF] {
            socket.send_to(&vec![first; length], relay.v4()).unwrap();
        }
    }
    relay.client(relay.v4(), "a").allocate(Allocate::default()).unwrap();
    assert!(relay.is_running());
}
