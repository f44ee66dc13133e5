//! Many clients behind one address, noisy neighbours, and clients that take one error as final.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    net::{SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use test_support::{
    PATIENCE,
    relay::{Relay, SECRET, command, credentials},
};
use turn_client::{Allocate, BlockingClient, Received, Request, TurnClient};

/// A Binding request and an Allocate request without credentials.
const BINDING: [u8; 20] = *b"\x00\x01\x00\x00\x21\x12\xA4\x42transaction1";
const ALLOCATE: [u8; 28] = *b"\x00\x03\x00\x08\x21\x12\xA4\x42transaction2\x00\x19\x00\x04\x11\x00\x00\x00";

/// A client at this loopback address, as if on its own host.
fn client_at(host: [u8; 4], relay: &Relay, salt: &str) -> BlockingClient {
    let socket = UdpSocket::bind(SocketAddr::from((host, 0))).unwrap();
    socket.connect(relay.v4()).unwrap();
    BlockingClient::with_socket(socket, credentials(salt))
}

#[test]
fn clients_with_allocations_behind_one_address_always_get_their_bindings_answered() {
    let relay = Relay::start(&[]);
    let mut clients: Vec<_> = (0..100).map(|n| relay.client(relay.v4(), &format!("salt{n}"))).collect();
    for client in &mut clients {
        client.allocate(Allocate::default()).unwrap();
    }
    for round in 0..30 {
        for client in &mut clients {
            client.mapped_address().unwrap_or_else(|error| panic!("in round {round}: {error}"));
        }
    }
}

#[test]
fn a_noisy_neighbour_locks_nobody_out_of_its_prefix() {
    let relay = Relay::start(&["--workers", "1"]);
    let noisy = UdpSocket::bind("127.0.0.2:0").unwrap();
    for _ in 0..100 {
        for _ in 0..50 {
            let _ = noisy.send_to(&BINDING, relay.v4());
            let _ = noisy.send_to(&ALLOCATE, relay.v4());
        }
        // The witness has another prefix. Once it has its answer, the earlier requests were handled.
        client_at([127, 0, 1, 1], &relay, "witness").mapped_address().unwrap();
    }
    for host in 10..20 {
        let salt = format!("salt{host}");
        let mut client = client_at([127, 0, 0, host], &relay, &salt).with_retransmission(Duration::from_millis(500), 4);
        client.mapped_address().unwrap();
        client.allocate(Allocate::default()).unwrap();
    }
    let end = relay.stop();
    assert!(end.log.contains("requests without credentials are not answered"), "{}", end.log);
    assert!(end.log.contains("--reply-limit"), "{}", end.log);
    assert!(!end.log.contains("127.0.0.2"), "it shows addresses:\n{}", end.log);
}

#[test]
fn a_crowd_behind_one_address_gets_in() {
    let relay = Relay::start(&["--workers", "1"]);
    let clients: Vec<_> = (0..600).map(|n| relay.client(relay.v4(), &format!("salt{n}"))).collect();
    // ICE with a `stun:` entry: all clients send Binding requests before the first one allocates.
    for client in &clients {
        for _ in 0..3 {
            client.socket().send(&BINDING).unwrap();
        }
    }
    // All at once, each with the transmissions that fit in five seconds.
    thread::scope(|scope| {
        for client in clients {
            let mut client = client.with_retransmission(Duration::from_millis(500), 4);
            scope.spawn(move || client.allocate(Allocate::default()).unwrap());
        }
    });
}

#[test]
fn a_higher_limit_answers_more_and_none_answers_all() {
    let answered = |limit: &str| {
        let relay = Relay::start(&["--workers", "1", "--reply-limit", limit]);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(relay.v4()).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut buffer = [0; 128];
        let mut asks = || socket.send(&BINDING).and_then(|_| socket.recv(&mut buffer)).is_ok();
        (0..500).take_while(|_| asks()).count()
    };
    assert!(answered("1") < 100);
    assert!(answered("100") >= 400);
    assert_eq!(answered("0"), 500);
}

/// Sends `request` from `socket` and returns the response.
fn exchange(socket: &UdpSocket, request: &[u8]) -> Vec<u8> {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send(request).unwrap();
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer).unwrap();
    buffer[..length].to_vec()
}

/// Chromium, Firefox, aioice and others take 438 to their first authenticated Allocate as final.
#[test]
fn a_nonce_holds_across_a_restart_and_from_another_port() {
    let now = Instant::now;
    let relay = Relay::start(&[]);
    let port = relay.port;
    let connect = || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(relay.v4()).unwrap();
        socket
    };
    let mut client = TurnClient::new(credentials("salt"), 1);
    client.request(now(), Request::Allocate(Allocate::default()));
    let (first, second) = (connect(), connect());
    let challenge = exchange(&first, &client.poll_transmit().unwrap());
    assert_eq!(client.handle_datagram(now(), &challenge), Received::Response);
    assert_eq!(client.poll_answer(), None, "it was challenged");
    relay.stop();

    let port_text = port.to_string();
    let options = ["--public-ip4-addr", "127.0.0.1", "--auth-secret", SECRET, "--listen-port", &port_text];
    let _relay = Relay::spawn(&mut command(options), port);
    let answer = exchange(&second, &client.poll_transmit().unwrap());
    assert_eq!(client.handle_datagram(now(), &answer), Received::Response);
    let (_, answer) = client.poll_answer().expect("not challenged once more");
    answer.unwrap();
}

#[test]
fn what_makes_choices_guessable_is_in_no_log() {
    let relay = Relay::start(&["--log-filter", "trace"]);
    relay.client(relay.v4(), "salt").allocate(Allocate::default()).unwrap();
    let end = relay.stop();
    assert!(end.log.contains("starting"));
    assert!(!end.log.contains("seed"), "{}", end.log);

    let end = Relay::start(&["--rng-seed", "18446744073709551557"]).stop();
    assert!(end.log.contains("can be guessed") && end.log.contains("--rng-seed"), "{}", end.log);
    assert!(!end.log.contains("18446744073709551557"), "{}", end.log);
}
