pub(crate) mod client;

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    time::Duration,
};

use anyhow::Result;
use relay_server::{
    AllocationPort, AuthSecret, ClientSocket, Config, Event, FiveTuple, Output, PeerSocket, PortRange, RelayAddresses,
    Server, Timestamp, UnixTime, UsernameLimit,
};

use self::client::{Client, Newcomer};

/// The address of the first state machine; the others have those after it.
const RELAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// How many clients one state machine has at most: somewhat fewer than there are ports.
const CLIENTS_PER_MACHINE: usize = 60_000;
const START: Timestamp = Timestamp::from_secs(1);
const UNIX_TIME: UnixTime = UnixTime(1_800_000_000);
/// Its clients' peer.
pub(crate) const PEER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
pub(crate) const PEER_PORT: u16 = 50_000;
/// Odd, and sharing no factor with any number of clients, so that every client has its turn in an order that caches do not like.
pub const STRIDE: usize = 7_919;

/// A relay that no socket belongs to, and clients with an allocation and a channel each.
///
/// One state machine holds no more allocations than its address has ports, about 65,000, however many families it has, since a port
/// is an allocation's in all of them. Beyond 60,000 clients there are therefore as many state machines as it takes, with an address
/// each, as there are on a host with several relays. They have their turns alternately, so that to the caches it is one set of so
/// many allocations.
#[derive(Debug)]
pub struct Relay {
    machines: Vec<Machine>,
    now: Timestamp,
    clients: Vec<Client>,
    /// The port of each client's allocation. In a list of its own, since a relay knows it from the socket.
    ports: Vec<AllocationPort>,
    /// What each client sends to its peer. The same bytes for all of them, since a relay finds a datagram in the caches: the kernel has
    /// just put it there.
    channel_data: Vec<u8>,
    send: Vec<u8>,
    send_with_fingerprint: Vec<u8>,
    newcomer: Option<Newcomer>,
    turn: usize,
}

impl Relay {
    /// One with `count` clients.
    ///
    /// # Errors
    ///
    /// When one of them could not allocate or bind its channel.
    pub fn with_clients(count: usize) -> Result<Self> {
        Self::new(count, CLIENTS_PER_MACHINE, Duration::ZERO, None)
    }

    /// One with `count` clients whose allocations, of this lifetime, and channels end one after the other.
    ///
    /// # Errors
    ///
    /// When one of them could not allocate or bind its channel.
    pub fn with_clients_in_turn(count: usize, lifetime: Duration) -> Result<Self> {
        Self::new(count, CLIENTS_PER_MACHINE, Duration::from_millis(1), Some(lifetime))
    }

    /// The clients come `apart`.
    pub(crate) fn new(count: usize, per_machine: usize, apart: Duration, lifetime: Option<Duration>) -> Result<Self> {
        let secret = AuthSecret::from_random([1; 32]);
        let credentials = turn_auth::Credentials::mint(&secret, UnixTime(UNIX_TIME.0 + 86_400), "bench");
        let machines = count.div_ceil(per_machine).max(1);
        let machines = (0..machines)
            .map(|index| Machine::new(index, secret.clone(), lifetime.is_none()))
            .collect::<Result<_>>()?;
        let mut relay = Self {
            machines,
            now: START,
            clients: Vec::new(),
            ports: Vec::new(),
            channel_data: client::channel_data(),
            send: client::send_indication(false),
            send_with_fingerprint: client::send_indication(true),
            newcomer: None,
            turn: 0,
        };
        for index in 0..count {
            let client = Client::open(&mut relay, index, &credentials, lifetime)?;
            relay.ports.push(client.port);
            relay.clients.push(client);
            relay.now = relay.now + apart;
        }
        relay.newcomer = Some(Newcomer::arrive(&mut relay, &credentials)?);
        Ok(relay)
    }

    /// A client whose turn it is.
    pub(crate) fn next(&mut self) -> usize {
        self.turn = (self.turn + STRIDE) % self.clients.len().max(1);
        self.turn
    }

    pub(crate) fn client(&self, index: usize) -> &Client {
        &self.clients[index]
    }

    /// Lets client number `index` send what `choose` says.
    pub(crate) fn sends(&mut self, index: usize, choose: impl Fn(&Client) -> &[u8]) {
        let machine = self.machine_of(index);
        let request = choose(&self.clients[index]);
        self.machines[machine].receive_from_client(self.now, client::address(index), request);
    }

    /// Lets client number `index` send to its peer; says whether it is to be relayed.
    pub(crate) fn sends_data(&mut self, index: usize) -> bool {
        let machine = self.machine_of(index);
        self.machines[machine].receive_from_client(self.now, client::address(index), black_box(&self.channel_data))
    }

    /// The same in a Send indication.
    pub(crate) fn sends_indication(&mut self, index: usize, with_fingerprint: bool) -> bool {
        let machine = self.machine_of(index);
        let datagram = if with_fingerprint { &self.send_with_fingerprint } else { &self.send };
        self.machines[machine].receive_from_client(self.now, client::address(index), black_box(datagram))
    }

    /// Gives client number `index` a datagram of another port at its peer's address, and makes the header of the Data indication;
    /// says whether there is one.
    pub(crate) fn receive_indication(&mut self, index: usize, datagram: &[u8]) -> bool {
        let peer = PeerSocket::new(SocketAddr::from((PEER, PEER_PORT + 1)));
        let machine = self.machine_of(index);
        let forward = self.machines[machine].server.handle_peer_datagram(self.now, self.ports[index], peer, datagram);
        forward.is_some_and(|forward| black_box(forward.header()).as_bytes().len() > 4)
    }

    /// The clients whose turns come next, `N` of those that one state machine has.
    pub(crate) fn next_batch<const N: usize>(&mut self) -> [usize; N] {
        let first = self.next();
        let machine = self.machine_of(first);
        std::array::from_fn(|_| {
            loop {
                let index = self.next();
                if self.machine_of(index) == machine {
                    return index;
                }
            }
        })
    }

    /// Lets the client that has no allocation send what `choose` says.
    pub(crate) fn newcomer_sends(&mut self, choose: impl Fn(&Newcomer) -> &[u8]) {
        if let Some(newcomer) = &self.newcomer {
            self.machines[0].receive_from_client(self.now, newcomer.address, choose(newcomer));
        }
    }

    /// The number of the state machine of client number `index`.
    pub(crate) fn machine_of(&self, index: usize) -> usize {
        index % self.machines.len()
    }

    /// Gives a state machine a datagram of `client`; says whether it is to be relayed.
    pub(crate) fn receive_from_client(&mut self, machine: usize, client: SocketAddr, datagram: &[u8]) -> bool {
        self.machines[machine].receive_from_client(self.now, client, datagram)
    }

    /// Gives client number `index` a datagram of its peer; says whether it is to be relayed.
    pub(crate) fn receive_from_peer(&mut self, index: usize, datagram: &[u8]) -> bool {
        let peer = PeerSocket::new(SocketAddr::from((PEER, PEER_PORT)));
        let machine = self.machine_of(index);
        self.machines[machine].server.handle_peer_datagram(self.now, self.ports[index], peer, datagram).is_some()
    }

    /// The same, and makes the ChannelData header that the relay sends before it.
    pub(crate) fn receive_with_header(&mut self, index: usize, datagram: &[u8]) -> bool {
        let peer = PeerSocket::new(SocketAddr::from((PEER, PEER_PORT)));
        let machine = self.machine_of(index);
        let forward = self.machines[machine].server.handle_peer_datagram(self.now, self.ports[index], peer, datagram);
        forward.is_some_and(|forward| black_box(forward.header()).as_bytes().len() == 4)
    }

    /// Hands over what the relay answers, and tells what became of allocations.
    pub(crate) fn answer(&mut self, mut respond: impl FnMut(&[u8])) -> Ended {
        let mut ended = Ended::default();
        for Machine { server, .. } in &mut self.machines {
            while let Some(output) = server.poll_output() {
                match output {
                    Output::Transmit { bytes, .. } => respond(&bytes),
                    Output::OpenRelay { id, family, .. } => server.handle_relay_opened(self.now, id, family, Ok(())),
                    Output::Event(Event::AllocationRemoved { .. }) => ended.allocations += 1,
                    Output::Event(Event::ChannelExpired { .. }) => ended.channels += 1,
                    _ => {}
                }
            }
        }
        ended
    }

    /// When something ends in the first state machine.
    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        self.machines[0].server.poll_timeout()
    }

    /// Lets the time come at which the next thing ends in the first state machine, and tells what did.
    pub(crate) fn wait(&mut self) -> Ended {
        if let Some(due) = self.poll_timeout() {
            self.now = due;
            self.machines[0].server.handle_timeout(due);
        }
        self.answer(|_| {})
    }
}

/// What has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) allocations: u32,
    /// Of allocations that live on.
    pub(crate) channels: u32,
}

/// A state machine and its address.
#[derive(Debug)]
struct Machine {
    server: Server,
    address: IpAddr,
}

impl Machine {
    /// One that relays indications, too, or has nothing but channels, so that no permission ends before they do.
    fn new(index: usize, secret: AuthSecret, indications: bool) -> Result<Self> {
        let address = Ipv4Addr::from_bits(RELAY.to_bits() + u32::try_from(index)?);
        let config = Config {
            ports: PortRange::new(4_000, u16::MAX)?,
            username_limit: UsernameLimit::RefuseBeyond(u32::MAX),
            reply_limit: NonZeroU32::new(1_000_000),
            indications,
            peer_policy: relay_server::PeerPolicy::unrestricted().into(),
            ..Config::of_relay_at(RelayAddresses { v4: Some(address), v6: None })
        };
        let server = Server::new(config, secret, [2; 32], START, UNIX_TIME)?;
        Ok(Self { server, address: address.into() })
    }

    /// Says whether the datagram is to be relayed.
    fn receive_from_client(&mut self, now: Timestamp, client: SocketAddr, datagram: &[u8]) -> bool {
        self.server.handle_client_datagram(now, self.five_tuple(client), datagram).is_some()
    }

    fn five_tuple(&self, client: SocketAddr) -> FiveTuple {
        FiveTuple { client: ClientSocket::new(client), server: self.address }
    }
}
