//! Runs a shard's event loop on real sockets, turn by turn: it relays without allocating memory, and a failing socket ends only its
//! own allocation.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use allocation_counter::measure;
use relay_server::{
    AddressStatus, AllocationPort, AuthSecret, Config, Family, PeerPolicy, PortRange, RelayAddresses, Server,
    UsernameLimit,
};
use socket2::SockRef;
use turn_auth::{Credentials, UnixTime};
use turn_client::{Allocate, Failure, Request, Success, TurnClient, decode_channel_data, encode_channel_data};

use super::*;
use crate::accounting::AccountingSender;
use crate::{
    addresses::{AddressState, FamilyState},
    faults::Faults,
    files::Files,
    listen, offload,
    record::RecordedServer,
    shard::HeldPorts,
    shard::stats::Published,
};

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const CLIENTS: usize = 3;
/// The channels to the peer and to the next client.
const CHANNELS: [u16; 2] = [0x4000, 0x4001];
/// How many datagrams a client sends in a row, so that the kernel may coalesce them.
const IN_A_ROW: usize = 8;
const PAYLOAD: [u8; 200] = [7; 200];
/// The most turns in which a shard may relay what it was sent.
const TURNS: usize = 1_000;

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((HOST, 0)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// An event loop that listens on loopback, and its address.
fn event_loop(secret: &AuthSecret) -> (EventLoop, SocketAddr) {
    event_loop_of(secret, Published::default())
}

/// The same, with counters that the test can read.
fn event_loop_of(secret: &AuthSecret, published: Published) -> (EventLoop, SocketAddr) {
    let ports = PortRange::DYNAMIC;
    let listen_at = socket().local_addr().unwrap();
    let config = Config {
        listen_port: listen_at.port(),
        username_limit: UsernameLimit::RefuseBeyond(u32::MAX),
        peer_policy: PeerPolicy::unrestricted().into(),
        ..Config::of_relay_at(RelayAddresses { v4: Some(Ipv4Addr::LOCALHOST), v6: None })
    };
    let clock = Clock::start();
    let server = Server::new(config, secret.clone(), [7; 32], clock.now(), UnixTime(1_900_000_000)).unwrap();
    let mut workers = [Vec::new()];
    listen::bind_at(listen_at, 7, &mut workers).unwrap();
    let [listeners] = workers;
    let poller = Poller::new().unwrap();
    let (_, mailbox) = Mailbox::new(&poller).unwrap();
    let v4 = FamilyState { public: HOST, relay: HOST, source: Some(HOST), local: HOST, status: AddressStatus::Present };
    let addresses = AddressState { v4: Some(v4), ..AddressState::default() };
    let (watcher, files) = (poller.watcher().unwrap(), Files::unlimited());
    let sockets =
        Sockets::new(listeners, ports, &addresses, HeldPorts::new(), watcher, files, Faults::default(), false).unwrap();
    let offload: Box<dyn Offload + Send> = Box::new(offload::NoOffload);
    let server = RecordedServer::new(server, None);
    let driver = Driver::new(server, offload, published, Vec::new(), AccountingSender::unheard());
    (EventLoop::new(driver, sockets, poller, mailbox, clock, Pulse::default()), listen_at)
}

struct Client {
    socket: UdpSocket,
    turn: TurnClient,
    relayed: SocketAddr,
}

impl Client {
    fn new(event_loop: &mut EventLoop, server: SocketAddr, secret: &AuthSecret, number: usize) -> Self {
        let minted = Credentials::mint(secret, UnixTime(2_000_000_000), "salt");
        let credentials = turn_client::Credentials::new(minted.username, minted.password);
        let socket = socket();
        socket.connect(server).unwrap();
        let mut client = Self { socket, turn: TurnClient::new(credentials, number as u64 + 1), relayed: server };
        match client.request(event_loop, Request::Allocate(Allocate::default())) {
            Success::Allocated(allocated) => client.relayed = allocated.relayed[0],
            other => panic!("{other:?}"),
        }
        client
    }

    fn request(&mut self, event_loop: &mut EventLoop, request: Request) -> Success {
        self.try_request(event_loop, request).unwrap()
    }

    /// Sends `request` and turns the event loop until there is a response.
    fn try_request(&mut self, event_loop: &mut EventLoop, request: Request) -> Result<Success, Failure> {
        // The client's clock stands still: nothing is lost here, so it never retransmits.
        let now = event_loop.clock.origin();
        self.turn.request(now, request);
        for _ in 0..TURNS {
            while let Some(datagram) = self.turn.poll_transmit() {
                self.socket.send(&datagram).unwrap();
            }
            event_loop.turn().unwrap();
            let mut buffer = [0; 2048];
            while let Ok(length) = self.socket.recv(&mut buffer) {
                self.turn.handle_datagram(now, &buffer[..length]);
            }
            if let Some((_, answer)) = self.turn.poll_answer() {
                return answer;
            }
        }
        panic!("no answer")
    }
}

/// Reads all datagrams from `socket`, checks their payload, and returns how many there were.
fn received(socket: &UdpSocket, is_client: bool) -> usize {
    let mut buffer = [0; 2048];
    let mut count = 0;
    while let Ok(length) = socket.recv(&mut buffer) {
        let payload = if is_client { decode_channel_data(&buffer[..length]).unwrap().1 } else { &buffer[..length] };
        assert_eq!(payload, PAYLOAD);
        count += 1;
    }
    count
}

#[test]
fn relaying_allocates_nothing() {
    let secret = AuthSecret::from_random([1; 32]);
    let (mut event_loop, server) = event_loop(&secret);
    let peer = socket();
    let mut clients: Vec<_> =
        (0..CLIENTS).map(|number| Client::new(&mut event_loop, server, &secret, number)).collect();
    let relayed: Vec<_> = clients.iter().map(|client| client.relayed).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        // Both clients of a pair need a channel to the other.
        for (channel, peer) in [
            (CHANNELS[0], peer.local_addr().unwrap()),
            (CHANNELS[1], relayed[(index + 1) % CLIENTS]),
            (CHANNELS[1] + 1, relayed[(index + CLIENTS - 1) % CLIENTS]),
        ] {
            client.request(&mut event_loop, Request::ChannelBind { channel, peer });
        }
    }
    let messages = CHANNELS.map(|channel| {
        let mut message = Vec::new();
        encode_channel_data(channel, &PAYLOAD, &mut message);
        message
    });

    let mut allocations = 0;
    for round in 0..300 {
        // The first rounds may allocate buffers, which later rounds reuse.
        let is_warm = round >= 50;
        for client in &clients {
            for message in &messages {
                for _ in 0..IN_A_ROW {
                    client.socket.send(message).unwrap();
                }
            }
        }
        for client in &clients {
            for _ in 0..IN_A_ROW {
                peer.send_to(&PAYLOAD, client.relayed).unwrap();
            }
        }
        // To the peer; and to the clients, from the peer and from each other.
        let mut missing = [CLIENTS * IN_A_ROW, 2 * CLIENTS * IN_A_ROW];
        for _ in 0..TURNS {
            let counted = measure(|| event_loop.turn().unwrap()).count_total;
            allocations += if is_warm { counted } else { 0 };
            missing[0] -= received(&peer, false);
            missing[1] -= clients.iter().map(|client| received(&client.socket, true)).sum::<usize>();
            if missing == [0, 0] {
                break;
            }
        }
        assert_eq!(missing, [0, 0], "lost in round {round}");
    }
    assert_eq!(allocations, 0);
}

#[test]
fn a_socket_that_fails_ends_its_own_allocation_only() {
    /// The number of errors in a row that make a socket count as failing.
    const ERRORS: usize = 16;
    let secret = AuthSecret::from_random([1; 32]);
    let (mut event_loop, server) = event_loop(&secret);
    let mut clients = [0, 1].map(|number| Client::new(&mut event_loop, server, &secret, number));
    let port = AllocationPort::new(clients[0].relayed.port());
    // A port below the ephemeral ports, which nobody listens on.
    let nobody = SocketAddr::new(HOST, 1);
    let refresh = Request::Refresh { lifetime: None };
    for error in 1..=ERRORS {
        // ICMP errors are off here, so a connected socket returns those that its own datagrams cause.
        let failing = SockRef::from(event_loop.sockets.relay(port, Family::V4));
        failing.connect(&nobody.into()).unwrap();
        failing.send(b"data").unwrap();
        event_loop.turn().unwrap();
        let is_alive = clients[0].try_request(&mut event_loop, refresh.clone()).is_ok();
        assert_eq!(is_alive, error < ERRORS, "after {error} errors");
    }
    clients[1].request(&mut event_loop, refresh);
}

#[test]
fn what_was_not_read_in_time_is_counted() {
    let (secret, published) = (AuthSecret::from_random([1; 32]), Published::default());
    let (mut event_loop, server) = event_loop_of(&secret, published.clone());
    let client = Client::new(&mut event_loop, server, &secret, 0);
    let port = AllocationPort::new(client.relayed.port());
    // The kernel raises the size to its minimum.
    SockRef::from(event_loop.sockets.relay(port, Family::V4)).set_recv_buffer_size(1).unwrap();
    let peer = socket();
    for _ in 0..TURNS {
        // The kernel reports dropped datagrams with the next one that finds room.
        for _ in 0..100 {
            peer.send_to(&PAYLOAD, client.relayed).unwrap();
        }
        event_loop.turn().unwrap();
        event_loop.publish();
        if published.read().receive_overruns > 0 {
            return;
        }
    }
    panic!("nothing was counted");
}

#[test]
fn the_counter_counts() {
    let secret = AuthSecret::from_random([1; 32]);
    let (mut event_loop, server) = event_loop(&secret);
    let counted = measure(|| drop(Client::new(&mut event_loop, server, &secret, 0)));
    assert!(counted.count_total > 0);
}
