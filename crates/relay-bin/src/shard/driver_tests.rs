use std::{collections::VecDeque, time::Duration};

use relay_server::{
    AddressStatus, AuthSecret, ChannelNumber, Config, Crossing, DefaultFamily, Encapsulation, Flow, FlowKey, PortRange,
    QuotaBy, RelayAddresses, Server, Traffic, UsernameLimit, Via,
};
use turn_auth::Credentials;
use turn_client::{Allocate, Received, Request, Success, TurnClient, encode_channel_data};

use super::*;
use crate::{
    addresses::FamilyState,
    clock::Clock,
    shard::{ingress::tests::holding, mailbox::Mailbox, poller::Poller},
};

const SECRET: &str = "4c98bf59c99b3e467ecd7cf9d6b3e5279645fca59be67bc5bb4af3cf653761ab";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// What a driver asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Open(AllocationPort),
    Close(AllocationPort),
    Respond(SocketAddr),
    SetAddresses(Vec<IpAddr>),
    /// To whom, and whether behind a header.
    Send(Via, SocketAddr, bool, Vec<u8>),
}

/// Remembers what was asked of it.
#[derive(Default)]
struct FakeNetwork {
    asked: Vec<Asked>,
    responses: VecDeque<Vec<u8>>,
    queued: Vec<(Datagram, Forward)>,
    /// The answers to the next requests to open a socket; success when empty.
    open_results: VecDeque<Result<(), RelayOpenError>>,
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

    fn count_overruns(&mut self, counters: &mut Counters) {
        counters.receive_overruns += 1;
    }

    fn set_addresses(&mut self, addresses: &AddressState) {
        self.asked.push(Asked::SetAddresses(addresses.own.clone()));
    }

    fn peer_address(&self, from: SocketAddr) -> SocketAddr {
        from
    }
}

/// Counts flows.
#[derive(Default)]
struct FakeOffload {
    installed: Vec<FlowKey>,
    /// How often a flow was installed.
    installations: usize,
    own: Vec<IpAddr>,
}

impl Offload for FakeOffload {
    fn install(&mut self, flow: &Flow) -> bool {
        self.installed.push(flow.key);
        self.installations += 1;
        true
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

/// A driver with one client.
struct Fixture {
    driver: Driver<FakeNetwork, FakeOffload>,
    client: TurnClient,
    others: Mailbox,
    published: Published,
    now: Timestamp,
}

const CLIENT: &str = "192.0.2.1:1000";
const PEER: &str = "192.0.2.2:2000";
/// A port of another shard's.
const OTHER_PORT: u16 = 40_000;

fn relay_ip() -> IpAddr {
    "192.0.2.9".parse().unwrap()
}

impl Fixture {
    fn new(username_limit: UsernameLimit) -> Self {
        let secret = AuthSecret::new(SECRET).unwrap();
        let config = Config {
            relay_addresses: RelayAddresses { v4: Some("192.0.2.9".parse().unwrap()), v6: None },
            own_addresses: vec![relay_ip()],
            listen_port: 3478,
            ports: PortRange::DYNAMIC,
            realm: "firezone".to_owned(),
            username_limit,
            quota_by: QuotaBy::UserId,
            unlimited_user: None,
            strict_expiry: false,
            reply_limit: None,
            indications: false,
            dont_fragment: true,
            default_family: DefaultFamily::V4,
        };
        let now = Timestamp::from_secs(1);
        let minted = Credentials::mint(&secret, UnixTime(2_000_000_000), "salt");
        let server = Server::new(config, secret, [7; 32], now, UnixTime(1_900_000_000)).unwrap();
        let server = server.as_shard(ShardId::new(0), 2, PortRange::new(OTHER_PORT, u16::MAX).unwrap());
        let (sender, others) = Mailbox::new(&Poller::new().unwrap()).unwrap();
        let published = Published::default();
        Self {
            driver: Driver::new(
                RecordedServer::new(server, None),
                FakeNetwork::default(),
                FakeOffload::default(),
                published.clone(),
                vec![(ShardId::new(1), sender)],
                AccountingSender::unheard(),
            ),
            client: TurnClient::new(turn_client::Credentials::new(minted.username, minted.password), 1),
            others,
            published,
            now,
        }
    }

    fn receive(&mut self, datagrams: &[&[u8]]) {
        let datagrams: Vec<_> = datagrams.iter().map(|bytes| (address(CLIENT), relay_ip(), *bytes)).collect();
        self.driver.handle_datagrams(self.now, &mut holding(Ingress::Listener(None), &datagrams));
    }

    /// What was counted until now.
    fn counted(&mut self) -> Counters {
        self.driver.publish();
        self.published.read()
    }

    /// What the other shards were told, the first of it.
    fn told(&self) -> Option<ShardMessage> {
        match self.others.take()? {
            Mail::FromShard(message) => Some(message),
            other => panic!("{other:?}"),
        }
    }

    /// Carries a request to its end.
    fn request(&mut self, request: Request) -> Result<Success, turn_client::Failure> {
        // The client's own clock stands still: nothing is lost here.
        let now = Clock::start().origin();
        self.client.request(now, request);
        loop {
            while let Some(datagram) = self.client.poll_transmit() {
                self.receive(&[&datagram]);
            }
            let response = self.driver.network.responses.pop_front().expect("a response");
            assert_eq!(self.client.handle_datagram(now, &response), Received::Response);
            if let Some((_, answer)) = self.client.poll_answer() {
                return answer;
            }
        }
    }

    /// What the client sends to end its allocation.
    fn end_of_allocation(&mut self) -> Vec<u8> {
        self.client.request(Clock::start().origin(), Request::Refresh { lifetime: Some(Duration::ZERO) });
        self.client.poll_transmit().unwrap()
    }

    fn allocate(&mut self) -> Result<AllocationPort, turn_client::Failure> {
        match self.request(Request::Allocate(Allocate::default()))? {
            Success::Allocated(allocated) => Ok(AllocationPort::new(allocated.relayed[0].port())),
            other => panic!("{other:?}"),
        }
    }

    fn asked(&mut self) -> Vec<Asked> {
        std::mem::take(&mut self.driver.network.asked)
    }
}

#[test]
fn the_socket_is_open_before_the_client_hears_of_it() {
    let mut fixture = Fixture::new(UsernameLimit::RefuseBeyond(10));
    let port = fixture.allocate().unwrap();
    let challenge = Asked::Respond(address(CLIENT));
    assert_eq!(fixture.asked(), [challenge.clone(), Asked::Open(port), challenge]);
    assert_eq!(fixture.counted().allocations(), 1);
}

#[test]
fn a_taken_port_is_replaced_and_what_is_broken_is_told() {
    let mut fixture = Fixture::new(UsernameLimit::RefuseBeyond(10));
    fixture.driver.network.open_results = [Err(RelayOpenError::PortInUse), Ok(())].into();
    let port = fixture.allocate().unwrap();
    let opened = fixture.asked().into_iter().filter(|asked| matches!(asked, Asked::Open(_))).collect::<Vec<_>>();
    assert_eq!(opened.len(), 2);
    assert_eq!(opened[1], Asked::Open(port));

    let mut fixture = Fixture::new(UsernameLimit::RefuseBeyond(10));
    fixture.driver.network.open_results = [Err(RelayOpenError::Failed)].into();
    assert_eq!(fixture.allocate().unwrap_err().code(), Some(508));
    assert_eq!(fixture.counted().allocations_created, 0);
}

#[test]
fn data_before_the_end_is_relayed_and_data_after_it_is_not() {
    let mut fixture = Fixture::new(UsernameLimit::RefuseBeyond(10));
    let port = fixture.allocate().unwrap();
    fixture.request(Request::ChannelBind { channel: 0x4001, peer: address(PEER) }).unwrap();
    fixture.asked();
    let mut data = Vec::new();
    encode_channel_data(0x4001, b"last", &mut data);
    let end = fixture.end_of_allocation();
    fixture.receive(&[&data, &end, &data]);
    let asked: Vec<_> = fixture.asked().into_iter().filter(|asked| !matches!(asked, Asked::Respond(_))).collect();
    assert_eq!(asked, [Asked::Send(Via::Relay(port), address(PEER), false, b"last".to_vec()), Asked::Close(port)]);
}

#[test]
fn a_batch_is_relayed_in_order_in_both_directions() {
    let mut fixture = Fixture::new(UsernameLimit::RefuseBeyond(10));
    let port = fixture.allocate().unwrap();
    fixture.request(Request::ChannelBind { channel: 0x4001, peer: address(PEER) }).unwrap();
    assert_eq!(fixture.driver.offload.installed.len(), 2);
    fixture.asked();

    let (mut one, mut two) = (Vec::new(), Vec::new());
    encode_channel_data(0x4001, b"one", &mut one);
    encode_channel_data(0x4001, b"two", &mut two);
    fixture.receive(&[&one, b"noise", &two]);
    let send = |payload: &[u8]| Asked::Send(Via::Relay(port), address(PEER), false, payload.to_vec());
    assert_eq!(fixture.asked(), [send(b"one"), send(b"two")]);

    let datagrams: Vec<_> = [&b"three"[..], b""].map(|bytes| (address(PEER), relay_ip(), bytes)).into();
    fixture.driver.handle_datagrams(fixture.now, &mut holding(Ingress::Relay(port), &datagrams));
    let send = |payload: &[u8]| Asked::Send(Via::Listener(relay_ip()), address(CLIENT), true, payload.to_vec());
    assert_eq!(fixture.asked(), [send(b"three"), send(b"")]);

    let counted = fixture.counted();
    assert_eq!(counted.to_peers, Traffic { packets: 4, bytes: 11 });
    assert_eq!(counted.losses.values().sum::<u64>(), 1);
}

#[test]
fn a_failed_socket_ends_its_allocation_and_nothing_else() {
    let mut fixture = Fixture::new(UsernameLimit::RefuseBeyond(10));
    let port = fixture.allocate().unwrap();
    fixture.request(Request::ChannelBind { channel: 0x4001, peer: address(PEER) }).unwrap();
    fixture.asked();
    let id = fixture.driver.server.server().allocations().next().unwrap().id();
    fixture.driver.handle_relay_failed(fixture.now, id);
    assert_eq!(fixture.asked(), [Asked::Close(port)]);
    assert_eq!(fixture.counted().allocations(), 0);
    assert!(fixture.driver.offload.installed.is_empty());
    // The client notices, and may allocate again.
    fixture.allocate().unwrap();
}

#[test]
fn other_shards_hear_of_a_users_allocations() {
    let mut fixture = Fixture::new(UsernameLimit::ReplaceOldest);
    fixture.allocate().unwrap();
    assert_eq!(fixture.told(), Some(ShardMessage::UsernameMoved { user_id: "salt".into(), created_at: fixture.now }));

    let mut fixture = Fixture::new(UsernameLimit::RefuseBeyond(10));
    let port = fixture.allocate().unwrap();
    assert_eq!(fixture.told(), Some(ShardMessage::Allocated { user_id: "salt".into() }));
    fixture.asked();
    let id = fixture.driver.server.server().allocations().next().unwrap().id();
    fixture.driver.handle_relay_failed(fixture.now, id);
    assert_eq!(fixture.asked(), [Asked::Close(port)]);
    assert_eq!(fixture.told(), Some(ShardMessage::Ended { user_id: "salt".into() }));
}

#[test]
fn a_username_that_moved_loses_its_allocation_here() {
    let mut fixture = Fixture::new(UsernameLimit::ReplaceOldest);
    let port = fixture.allocate().unwrap();
    fixture.asked();
    let later = fixture.now + Duration::from_nanos(1);
    let mut hear_of = |user_id: &str, created_at| {
        let message = ShardMessage::UsernameMoved { user_id: user_id.into(), created_at };
        fixture.driver.handle_shard_message(later, &message);
        fixture.asked()
    };
    assert_eq!(hear_of("other", later), []);
    // Both allocated at once: the message about the older of the two crossed with this one's.
    assert_eq!(hear_of("salt", Timestamp::from_secs(1)), []);
    assert_eq!(hear_of("salt", later), [Asked::Close(port)]);
}

#[test]
fn a_client_of_another_shard_is_reached_in_one_step() {
    let mut fixture = Fixture::new(UsernameLimit::ReplaceOldest);
    let port = fixture.allocate().unwrap();
    let peer = SocketAddr::new(relay_ip(), OTHER_PORT);
    fixture.request(Request::ChannelBind { channel: 0x4001, peer }).unwrap();
    let crossing = |from, to, client, channel| Crossing {
        family: Family::V4,
        from,
        to,
        five_tuple: FiveTuple { client: ClientSocket::new(address(client)), server: relay_ip() },
        channel: ChannelNumber::new(channel).unwrap(),
    };
    let here = crossing(AllocationPort::new(OTHER_PORT), port, CLIENT, 0x4001);
    assert!(matches!(fixture.told(), Some(ShardMessage::UsernameMoved { .. })));
    assert_eq!(fixture.told(), Some(ShardMessage::CrossingOpened(here)));
    fixture.asked();

    let there = crossing(port, AllocationPort::new(OTHER_PORT), "192.0.2.3:3000", 0x4002);
    let mut data = Vec::new();
    encode_channel_data(0x4001, b"data", &mut data);
    let send = |fixture: &mut Fixture| {
        fixture.receive(&[&data]);
        fixture.asked()
    };
    let through_sockets = [Asked::Send(Via::Relay(port), peer, false, b"data".to_vec())];
    let straight = [Asked::Send(Via::Listener(relay_ip()), there.five_tuple.client.address(), true, b"data".to_vec())];
    assert_eq!((send(&mut fixture), fixture.driver.offload.installed.len()), (through_sockets.to_vec(), 0));
    fixture.driver.handle_shard_message(fixture.now, &ShardMessage::CrossingOpened(there));
    assert_eq!((send(&mut fixture), fixture.driver.offload.installed.len()), (straight.to_vec(), 1));
    fixture.driver.handle_shard_message(fixture.now, &ShardMessage::CrossingClosed(there));
    assert_eq!((send(&mut fixture), fixture.driver.offload.installed.len()), (through_sockets.to_vec(), 0));

    let id = fixture.driver.server.server().allocations().next().unwrap().id();
    fixture.driver.handle_relay_failed(fixture.now, id);
    assert_eq!(fixture.told(), Some(ShardMessage::CrossingClosed(here)));
}

#[test]
fn new_addresses_reach_sockets_state_machine_and_flows() {
    let mut fixture = Fixture::new(UsernameLimit::RefuseBeyond(10));
    fixture.allocate().unwrap();
    fixture.request(Request::ChannelBind { channel: 0x4001, peer: address(PEER) }).unwrap();
    fixture.asked();
    let own = vec![relay_ip(), "10.0.0.9".parse().unwrap()];
    let mut addresses = AddressState { own: own.clone(), ..AddressState::default() };
    fixture.driver.handle_addresses(fixture.now, &addresses);
    assert_eq!(fixture.asked(), [Asked::SetAddresses(own.clone())]);
    let FakeOffload { installed, installations, .. } = &fixture.driver.offload;
    assert_eq!((installed.len(), *installations), (2, 4), "both flows, anew");
    let listener = Request::ChannelBind { channel: 0x4002, peer: SocketAddr::new(own[1], 3478) };
    assert_eq!(fixture.request(listener).unwrap_err().code(), Some(403));

    addresses.v4 = Some(FamilyState {
        public: relay_ip(),
        relay: relay_ip(),
        source: None,
        local: relay_ip(),
        status: AddressStatus::Missing,
    });
    fixture.driver.handle_addresses(fixture.now, &addresses);
    assert_eq!(fixture.driver.offload.installations, 4, "packets carry what they did");
    let end = fixture.end_of_allocation();
    fixture.receive(&[&end]);
    fixture.driver.network.responses.clear();
    let mut late = Fixture::new(UsernameLimit::RefuseBeyond(10));
    late.driver.handle_addresses(late.now, &addresses);
    assert_eq!(late.allocate().unwrap_err().code(), Some(508));
}

#[test]
fn a_time_out_is_told_of_and_ends_what_is_due() {
    let mut fixture = Fixture::new(UsernameLimit::RefuseBeyond(10));
    assert_eq!(fixture.driver.poll_timeout(), None);
    fixture.allocate().unwrap();
    let due = fixture.driver.poll_timeout().unwrap();
    assert_eq!(due, fixture.now + relay_server::DEFAULT_LIFETIME);
    fixture.driver.handle_timeout(due);
    assert_eq!(fixture.counted().allocations(), 0);
    assert!(fixture.driver.poll_timeout().is_none_or(|next| next > due));
}
