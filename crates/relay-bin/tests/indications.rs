//! Send and Data indications, from clients that do not wait for responses.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use test_support::{
    PATIENCE,
    capability::has_ipv6,
    port::free_port,
    relay::{Relay, SECRET, command, credentials},
    wait_until,
};
use turn_client::{
    Allocate, Answer, Request, Success, TurnClient, decode_data_indication, encode_channel_data, encode_send_indication,
};

/// A client with an allocation that can send before it has a response.
struct Client {
    socket: UdpSocket,
    turn: TurnClient,
    relayed: SocketAddr,
}

impl Client {
    fn start(server: SocketAddr, salt: &str) -> Self {
        let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { "::".parse().unwrap() };
        let socket = UdpSocket::bind((any, 0)).unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut client = Self { socket, turn: TurnClient::new(credentials(salt), 7), relayed: server };
        client.request(Request::Allocate(Allocate::default()));
        let Ok(Success::Allocated(allocated)) = client.answer() else { panic!("no allocation") };
        client.relayed = allocated.relayed[0];
        client
    }

    /// Sends a request without waiting.
    fn request(&mut self, request: Request) {
        self.turn.request(Instant::now(), request);
        self.transmit();
    }

    fn transmit(&mut self) {
        while let Some(datagram) = self.turn.poll_transmit() {
            self.socket.send(&datagram).unwrap();
        }
    }

    /// The response to the last request.
    fn answer(&mut self) -> Answer {
        let until = Instant::now() + 6 * PATIENCE;
        let mut buffer = [0; 2048];
        while Instant::now() < until {
            self.turn.handle_timeout(Instant::now());
            if let Ok(length) = self.socket.recv(&mut buffer) {
                self.turn.handle_datagram(Instant::now(), &buffer[..length]);
            }
            self.transmit();
            if let Some((_, answer)) = self.turn.poll_answer() {
                return answer;
            }
        }
        panic!("no answer");
    }
}

/// Peers at many loopback addresses, on one socket.
struct Peers(UdpSocket);

impl Peers {
    fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// The peer number `number`, at its own address.
    fn peer(&self, number: u16) -> SocketAddr {
        let [high, low] = number.to_be_bytes();
        SocketAddr::from(([127, 1, high, low], self.0.local_addr().unwrap().port()))
    }

    /// The next datagram and its sender.
    fn receive(&self) -> (SocketAddr, Vec<u8>) {
        let mut buffer = [0; 2048];
        let (length, from) = self.0.recv_from(&mut buffer).expect("a datagram");
        (from, buffer[..length].to_vec())
    }
}

/// For each of `count` peers, sends data right behind the request that permits it. All data must arrive.
fn nothing_that_follows_a_request_is_lost(relay: &Relay, count: u16) {
    let peers = Peers::start();
    let mut client = Client::start(relay.v4(), "pipelined");
    let mut data = Vec::new();
    for number in 0..count {
        let peer = peers.peer(number);
        let payload = number.to_be_bytes();
        let channel = 0x4000 + number;
        if number.is_multiple_of(2) {
            client.request(Request::CreatePermission { peers: vec![SocketAddr::new(peer.ip(), 0)] });
            let transaction = u128::from(number) + 1;
            client.socket.send(&encode_send_indication(peer, &payload, transaction, number.is_multiple_of(4))).unwrap();
        } else {
            client.request(Request::ChannelBind { channel, peer });
            encode_channel_data(channel, &payload, &mut data);
            client.socket.send(&data).unwrap();
        }
        assert_eq!(peers.receive(), (client.relayed, payload.to_vec()), "the first datagram behind request {number}");
        assert!(client.answer().is_ok());
    }
}

#[test]
fn data_right_behind_its_request_is_relayed() {
    let relay = Relay::start(&["--workers", "2"]);
    nothing_that_follows_a_request_is_lost(&relay, 200);
}

#[test]
fn data_right_behind_its_request_is_relayed_among_strangers() {
    let relay = Relay::start(&["--workers", "1"]);
    let server = relay.v4();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Too few to overflow the queue: that would lose the request itself.
            let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
            let mut binding = [0; 20];
            binding[..8].copy_from_slice(&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42]);
            while !is_over.load(Ordering::Relaxed) {
                for _ in 0..500 {
                    let _ = stranger.send_to(&binding, server);
                }
                thread::sleep(Duration::from_millis(5));
            }
        });
        let _end = EndOfFlood(&is_over);
        nothing_that_follows_a_request_is_lost(&relay, 100);
    });
}

/// Ends the flood, even if the test fails.
struct EndOfFlood<'a>(&'a AtomicBool);

impl Drop for EndOfFlood<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_peer_without_a_channel_is_heard_in_data_indications() {
    let relay = Relay::start(&["--workers", "2"]);
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let at_peer = peer.local_addr().unwrap();
    let mut client = Client::start(relay.v4(), "data");
    client.request(Request::CreatePermission { peers: vec![at_peer] });
    assert!(client.answer().is_ok());
    client.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    for length in [0, 1, 2, 3, 4, 5, 1200] {
        let payload = vec![7; length];
        client.socket.send(&encode_send_indication(at_peer, &payload, 1, true)).unwrap();
        let mut buffer = [0; 2048];
        let (received, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!((from, &buffer[..received]), (client.relayed, &payload[..]));
        peer.send_to(&payload, from).unwrap();
        let received = client.socket.recv(&mut buffer).unwrap();
        assert_eq!(decode_data_indication(&buffer[..received]), Some((at_peer, payload)));
    }
}

#[test]
fn what_is_too_long_for_a_data_indication_is_dropped_and_counted() {
    /// The most payload of a UDP datagram over IPv4.
    const LONGEST: usize = 65_535 - 20 - 8;
    /// The header of a Data indication for an IPv4 peer. Its data is padded to 4 bytes.
    const HEADER: usize = 36;
    const LONGEST_TOLD: usize = (LONGEST - HEADER) / 4 * 4;
    let relay = Relay::start(&["--workers", "1"]);
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at_peer = peer.local_addr().unwrap();
    let mut client = Client::start(relay.v4(), "long");
    client.request(Request::CreatePermission { peers: vec![at_peer] });
    assert!(client.answer().is_ok());
    client.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (data, mut buffer) = (vec![7; LONGEST], vec![0; LONGEST]);
    for length in [LONGEST, LONGEST_TOLD + 1, LONGEST_TOLD] {
        peer.send_to(&data[..length], client.relayed).unwrap();
    }
    let received = client.socket.recv(&mut buffer).unwrap();
    let told = decode_data_indication(&buffer[..received]);
    assert_eq!(told.map(|(from, data)| (from, data.len())), Some((at_peer, LONGEST_TOLD)), "the first that fits");
    let log = relay.stop().log;
    assert!(log.contains("dropped: 2 SendFailed\n"), "{log}");
}

#[test]
fn where_they_are_off_the_log_says_so_once_for_each_allocation() {
    let relay = Relay::start(&["--indications", "off"]);
    let clients: Vec<_> = ["one", "other"].map(|salt| Client::start(relay.v4(), salt)).into();
    for _ in 0..10 {
        for client in &clients {
            let datagram = encode_send_indication("127.0.0.1:9".parse().unwrap(), b"data", 1, false);
            client.socket.send(&datagram).unwrap();
        }
    }
    let line = "turn them on with --indications (INDICATIONS) on";
    wait_until(|| relay.has_logged(line));
    assert_eq!(relay.stop().log.matches(line).count(), 2);
}

#[test]
fn a_relay_without_ipv4_serves_a_client_that_asks_for_no_family() {
    if !has_ipv6() {
        return;
    }
    let port = free_port();
    let options = ["--public-ip6-addr", "::1", "--bind-ip6-addr", "::1", "--auth-secret", SECRET];
    let mut command = command(options);
    command.args(["--listen-port", &port.to_string()]);
    let relay = Relay::spawn(&mut command, port);
    assert!(Client::start(relay.v6(), "ipv6").relayed.is_ipv6());
}
