//! A driver with one client, and a fake network and offload that record the calls they get.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use relay_server::{
    AllocationId, AllocationPort, AuthSecret, Config, Encapsulation, Family, Flow, FlowKey, Forward, PeerPolicy,
    PortRange, RelayAddresses, RelayOpenError, Server, ShardId, ShardMessage, Timestamp, Traffic, UsernameLimit, Via,
};
use turn_auth::{Credentials, UnixTime};
use turn_client::{Allocate, Received, Request, Success, TurnClient};

use crate::{
    accounting::AccountingSender,
    addresses::AddressState,
    clock::Clock,
    offload::Offload,
    record::RecordedServer,
    shard::{
        driver::Driver,
        ingress::{Datagram, Ingress, ReceiveBuffers, tests::holding},
        mailbox::{Mail, Mailbox},
        network::Network,
        poller::Poller,
        stats::{Counters, Published},
    },
};

pub(super) const SECRET: &str = "4c98bf59c99b3e467ecd7cf9d6b3e5279645fca59be67bc5bb4af3cf653761ab";

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A call that the driver made to its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Open(AllocationPort),
    Close(AllocationPort),
    Respond(SocketAddr),
    SetAddresses(Vec<IpAddr>),
    /// The socket, the destination, whether the payload has a header, and the payload.
    Send(Via, SocketAddr, bool, Vec<u8>),
}

/// Records the driver's calls.
#[derive(Default)]
pub(super) struct FakeNetwork {
    pub(super) asked: Vec<Asked>,
    pub(super) responses: VecDeque<Vec<u8>>,
    queued: Vec<(Datagram, Forward)>,
    /// The results of the next [`Network::open_relay`] calls; success when empty.
    pub(super) open_results: VecDeque<Result<(), RelayOpenError>>,
    /// The relayed transport addresses of all shards' allocations.
    pub(super) relayed: Vec<SocketAddr>,
}

impl Network for FakeNetwork {
    fn open_relay(
        &mut self,
        _: Timestamp,
        _: AllocationId,
        port: AllocationPort,
        _: Family,
    ) -> Result<(), RelayOpenError> {
        self.asked.push(Asked::Open(port));
        self.open_results.pop_front().unwrap_or(Ok(()))
    }

    fn is_relayed(&self, address: SocketAddr) -> bool {
        self.relayed.contains(&address)
    }

    fn close_relay(&mut self, port: AllocationPort, _: Family) {
        self.asked.push(Asked::Close(port));
    }

    fn respond(&mut self, _: IpAddr, to: SocketAddr, bytes: &[u8], _: &mut Counters) {
        self.asked.push(Asked::Respond(to));
        self.responses.push_back(bytes.to_vec());
    }

    fn queue(&mut self, datagram: &Datagram, forward: &Forward, _: &mut ReceiveBuffers, _: &mut Counters) {
        self.queued.push((datagram.clone(), forward.clone()));
    }

    fn flush(&mut self, buffers: &ReceiveBuffers, counters: &mut Counters) {
        for (datagram, forward) in self.queued.drain(..) {
            let payload = datagram.range.start + forward.payload.start..datagram.range.start + forward.payload.end;
            counters.relayed_to_peer(payload.len());
            let send = Asked::Send(
                forward.from,
                forward.to,
                forward.encapsulation != Encapsulation::Bare,
                buffers[payload].to_vec(),
            );
            self.asked.push(send);
        }
    }

    fn set_addresses(&mut self, addresses: &AddressState) {
        self.asked.push(Asked::SetAddresses(addresses.own.clone()));
    }

    fn peer_address(&self, from: SocketAddr) -> SocketAddr {
        from
    }
}

/// Records which flows are installed.
#[derive(Default)]
pub(super) struct FakeOffload {
    pub(super) installed: Vec<FlowKey>,
    /// How often [`Offload::install`] was called.
    pub(super) installations: usize,
    own: Vec<IpAddr>,
}

impl Offload for FakeOffload {
    fn install(&mut self, flow: &Flow) -> bool {
        self.installed.push(flow.key);
        self.installations += 1;
        true
    }

    fn install_waiting(&mut self) -> Option<Flow> {
        None
    }

    fn remove(&mut self, key: &FlowKey) -> Option<Traffic> {
        let before = self.installed.len();
        self.installed.retain(|installed| installed != key);
        (self.installed.len() < before).then(Default::default)
    }

    fn set_addresses(&mut self, addresses: &AddressState) -> bool {
        std::mem::replace(&mut self.own, addresses.own.clone()) != addresses.own
    }
}

/// A driver with one client and one other shard.
pub(super) struct Fixture {
    pub(super) driver: Driver<FakeOffload>,
    pub(super) network: FakeNetwork,
    client: TurnClient,
    others: Mailbox,
    published: Published,
    pub(super) now: Timestamp,
}

pub(super) const CLIENT: &str = "192.0.2.1:1000";
pub(super) const PEER: &str = "192.0.2.2:2000";
/// A port of the other shard.
pub(super) const OTHER_PORT: u16 = 40_000;

pub(super) fn relay_ip() -> IpAddr {
    "192.0.2.9".parse().unwrap()
}

impl Fixture {
    pub(super) fn new(username_limit: UsernameLimit) -> Self {
        Self::with(|config| config.username_limit = username_limit)
    }

    pub(super) fn with(configure: impl FnOnce(&mut Config)) -> Self {
        let secret = AuthSecret::new(SECRET).unwrap();
        let mut config = Config {
            indications: false,
            peer_policy: PeerPolicy::unrestricted().into(),
            ..Config::of_relay_at(RelayAddresses { v4: Some("192.0.2.9".parse().unwrap()), v6: None })
        };
        configure(&mut config);
        let now = Timestamp::from_secs(1);
        let minted = Credentials::mint(&secret, UnixTime(2_000_000_000), "salt");
        let server = Server::new(config, secret, [7; 32], now, UnixTime(1_900_000_000)).unwrap();
        let server = server.as_shard(ShardId::new(0), 2, PortRange::new(OTHER_PORT, u16::MAX).unwrap());
        let (sender, others) = Mailbox::new(&Poller::new().unwrap()).unwrap();
        let published = Published::default();
        Self {
            driver: Driver::new(
                RecordedServer::new(server, None),
                FakeOffload::default(),
                published.clone(),
                vec![(ShardId::new(1), sender)],
                AccountingSender::unheard(),
            ),
            network: FakeNetwork::default(),
            client: TurnClient::new(turn_client::Credentials::new(minted.username, minted.password), 1),
            others,
            published,
            now,
        }
    }

    /// A driver that has seen no events takes over the server with its allocations.
    pub(super) fn with_another_driver(self) -> Self {
        let Driver { server, offload, published, others, accounting, .. } = self.driver;
        Self { driver: Driver::new(server, offload, published, others, accounting), ..self }
    }

    pub(super) fn receive(&mut self, datagrams: &[&[u8]]) {
        let datagrams: Vec<_> = datagrams.iter().map(|bytes| (address(CLIENT), relay_ip(), *bytes)).collect();
        self.driver.handle_datagrams(self.now, &mut self.network, &mut holding(Ingress::Listener(None), &datagrams));
    }

    /// Publishes the driver's counters and returns them.
    pub(super) fn counted(&mut self) -> Counters {
        self.driver.publish();
        self.published.read()
    }

    /// The next message that the driver has sent to the other shard.
    pub(super) fn told(&self) -> Option<ShardMessage> {
        match self.others.take()? {
            Mail::FromShard(message) => Some(message),
            other => panic!("{other:?}"),
        }
    }

    /// Sends `request` and returns the response, after the challenge for credentials if there is one.
    pub(super) fn request(&mut self, request: Request) -> Result<Success, turn_client::Failure> {
        // The client's clock stands still: nothing is lost here, so it never retransmits.
        let now = Clock::start().origin();
        self.client.request(now, request);
        loop {
            while let Some(datagram) = self.client.poll_transmit() {
                self.receive(&[&datagram]);
            }
            let response = self.network.responses.pop_front().expect("a response");
            assert_eq!(self.client.handle_datagram(now, &response), Received::Response);
            if let Some((_, answer)) = self.client.poll_answer() {
                return answer;
            }
        }
    }

    /// A signed Refresh request with lifetime 0.
    pub(super) fn end_of_allocation(&mut self) -> Vec<u8> {
        self.client.request(Clock::start().origin(), Request::Refresh { lifetime: Some(Duration::ZERO) });
        self.client.poll_transmit().unwrap()
    }

    pub(super) fn allocate(&mut self) -> Result<AllocationPort, turn_client::Failure> {
        match self.request(Request::Allocate(Allocate::default()))? {
            Success::Allocated(allocated) => Ok(AllocationPort::new(allocated.relayed[0].port())),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn asked(&mut self) -> Vec<Asked> {
        std::mem::take(&mut self.network.asked)
    }
}
