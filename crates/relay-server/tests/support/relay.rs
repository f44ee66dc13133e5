//! A relay with fake sockets, a fake fast path and a fake clock.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use relay_server::{
    AcceptedCredentials, AllocationId, AllocationPort, AuthSecret, Bandwidth, Config, DefaultFamily, DropReason, Event,
    Family, Flow, FlowKey, Forward, Limits, Output, OwnAddresses, PeerPolicy, PeerSocket, PortRange, QuotaBy,
    QuotaHolder, RelayAddresses, RelayOpenError, Server, ShardId, ShardMessage, Snapshot, Timestamp, UnixTime,
    UsernameLimit,
};

use super::{
    client::Client,
    credentials::{REALM, SECRET},
    request::{Request, allocate},
    response::Response,
};

pub(crate) const RELAY_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(crate) const RELAY_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
pub(crate) const LISTEN_PORT: u16 = 3478;
/// The wall-clock time when a relay starts.
pub(crate) const UNIX_TIME: u64 = 1_800_000_000;

const START: Timestamp = Timestamp::from_secs(1_000);

/// A relay with both families, the dynamic ports, and at most ten allocations per user.
pub(crate) fn config() -> Config {
    Config {
        listen_port: LISTEN_PORT,
        realm: REALM.to_owned(),
        peer_policy: PeerPolicy::unrestricted().into(),
        ..Config::of_relay_at(RelayAddresses { v4: Some(RELAY_V4), v6: Some(RELAY_V6) })
    }
}

/// A relay socket.
pub(crate) type Socket = (AllocationPort, Family);

/// A message that the relay sent from its listening port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) from: IpAddr,
    pub(crate) to: SocketAddr,
    pub(crate) response: Response,
}

/// A [`Server`], and the state that results from its outputs.
pub(crate) struct Relay {
    pub(crate) server: Server,
    pub(crate) now: Timestamp,
    /// The open relay sockets.
    pub(crate) sockets: BTreeSet<Socket>,
    /// The installed flows.
    pub(crate) flows: BTreeMap<FlowKey, Flow>,
    /// All events since a test last took them.
    pub(crate) events: Vec<Event>,
    /// The messages to other shards that nobody has taken yet. The receiver is `None` for all shards.
    pub(crate) told: Vec<(Option<ShardId>, ShardMessage)>,
    /// The number of allocations of each quota holder on all shards.
    pub(crate) claims: Rc<RefCell<BTreeMap<QuotaHolder, u32>>>,
    /// All outputs in order, if a test sets this.
    pub(crate) recorded: Option<Vec<Output>>,
    /// The results of opening the next sockets. When empty, sockets open.
    pub(crate) answers: VecDeque<Result<(), RelayOpenError>>,
    /// Whether sockets stay pending until [`Self::open`] is called.
    pub(crate) hold: bool,
    pub(crate) pending: Vec<(AllocationId, AllocationPort, Family)>,
    accepted: Arc<AcceptedCredentials>,
    /// Whether to replace the server with one restored from a snapshot after every input.
    pub(crate) restores: bool,
    sent: VecDeque<Sent>,
}

impl Relay {
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    /// A relay with a changed configuration.
    pub(crate) fn with(configure: impl FnOnce(&mut Config)) -> Self {
        Self { restores: crate::RESTORES, ..Self::seeded([7; 32], configure) }
    }

    /// Sets the accepted credentials.
    pub(crate) fn accept(&mut self, accepted: Arc<AcceptedCredentials>) {
        self.accepted = Arc::clone(&accepted);
        self.server.handle_accepted_credentials(accepted);
    }

    pub(crate) fn seeded(seed: [u8; 32], configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = config();
        configure(&mut config);
        let accepted: Arc<AcceptedCredentials> = AuthSecret::new(SECRET).unwrap().into();
        Self {
            server: Server::new(config, Arc::clone(&accepted), seed, START, UnixTime(UNIX_TIME)).unwrap(),
            now: START,
            sockets: BTreeSet::new(),
            flows: BTreeMap::new(),
            events: Vec::new(),
            told: Vec::new(),
            claims: Rc::default(),
            recorded: None,
            answers: VecDeque::new(),
            hold: false,
            pending: Vec::new(),
            accepted,
            restores: false,
            sent: VecDeque::new(),
        }
    }

    /// Makes the relay one of `count` shards, whose ports are all within `ports`.
    pub(crate) fn share_ports(&mut self, shard: u16, count: u16, ports: PortRange) {
        let placeholder = Server::new(config(), AuthSecret::new(SECRET).unwrap(), [0; 32], START, UnixTime(UNIX_TIME));
        let server = std::mem::replace(&mut self.server, placeholder.unwrap());
        self.server = server.as_shard(ShardId::new(shard), count, ports);
    }

    /// Sets the relay's addresses: those of [`config`], all present, after `change`.
    pub(crate) fn own_addresses(&mut self, change: impl FnOnce(&mut OwnAddresses)) {
        let mut addresses = OwnAddresses { own: config().own_addresses, ..OwnAddresses::default() };
        change(&mut addresses);
        self.server.handle_own_addresses(addresses);
        self.drain();
    }

    /// Passes a client's datagram to the relay. Returns what it relays.
    pub(crate) fn receive(&mut self, client: &Client, datagram: &[u8]) -> Option<Forward> {
        let is_due = self.is_due();
        let forward = self.server.handle_client_datagram(self.now, client.five_tuple(), datagram);
        self.assert_little_waits(is_due, forward.as_ref());
        self.drain();
        forward
    }

    /// Passes a peer's datagram to the relay. Returns what it relays.
    pub(crate) fn receive_from_peer(
        &mut self,
        port: AllocationPort,
        peer: SocketAddr,
        datagram: &[u8],
    ) -> Option<Forward> {
        let is_due = self.is_due();
        let forward = self.server.handle_peer_datagram(self.now, port, PeerSocket::new(peer), datagram);
        self.assert_little_waits(is_due, forward.as_ref());
        self.drain();
        forward
    }

    fn is_due(&self) -> bool {
        self.server.poll_timeout().is_some_and(|due| due <= self.now)
    }

    /// The contract lets a caller forward a whole batch before it takes outputs. So forwarding itself may only install flows.
    fn assert_little_waits(&mut self, is_due: bool, forward: Option<&Forward>) {
        while forward.is_some()
            && !is_due
            && let Some(output) = self.server.poll_output()
        {
            assert!(matches!(output, Output::InstallFlow(_)), "{output:?}");
            self.carry_out(output);
        }
    }

    /// The oldest message that the relay sent and nobody has taken.
    pub(crate) fn take_sent(&mut self) -> Option<Sent> {
        self.sent.pop_front()
    }

    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The reasons for drops since the events were last taken.
    pub(crate) fn take_drops(&mut self) -> Vec<DropReason> {
        let drops = self.take_events().into_iter().filter_map(|event| match event {
            Event::Dropped { reason, .. } => Some(reason),
            _ => None,
        });
        drops.collect()
    }

    /// The response to a datagram. Checks that nothing is relayed, and that the response goes back to its source from its
    /// destination.
    pub(crate) fn answer(&mut self, client: &Client, datagram: &[u8]) -> Option<Response> {
        assert_eq!(self.receive(client, datagram), None);
        let Sent { from, to, response } = self.take_sent()?;
        assert_eq!((from, to), (client.server, client.socket));
        assert_eq!(self.take_sent(), None, "one answer");
        assert_eq!(response.transaction, datagram[8..20]);
        assert_eq!(response.method.to_be_bytes(), datagram[..2]);
        Some(response)
    }

    /// The response to a request with the client's present nonce. Responses must be signed unless they are about credentials.
    pub(crate) fn ask_once(&mut self, client: &mut Client, request: &Request) -> Response {
        let bytes = client.sign(request);
        let response = self.answer(client, &bytes).expect("an answer");
        let challenge = matches!(response.error_code(), Some(401 | 438));
        assert_eq!(response.is_signed_with(&client.credentials.key), !challenge, "{:?}", response.outcome());
        response
    }

    /// The response to a request. Gets a nonce first, or a fresh one if it is stale.
    pub(crate) fn ask(&mut self, client: &mut Client, request: &Request) -> Response {
        if client.nonce.is_empty() {
            self.challenge(client);
        }
        let response = self.ask_once(client, request);
        if response.error_code() == Some(438) {
            client.nonce = response.nonce().unwrap().to_vec();
            return self.ask_once(client, request);
        }
        response
    }

    /// Gets a nonce for `client`.
    pub(crate) fn challenge(&mut self, client: &mut Client) {
        let bytes = client.unsigned(&allocate());
        let response = self.answer(client, &bytes).expect("a challenge");
        assert_eq!(response.outcome(), Err(401));
        client.nonce = response.nonce().unwrap().to_vec();
    }

    /// The success response to a request.
    pub(crate) fn granted(&mut self, client: &mut Client, request: &Request) -> Response {
        let response = self.ask(client, request);
        assert_eq!(response.outcome(), Ok(()));
        response
    }

    /// Success, or the error code.
    pub(crate) fn outcome(&mut self, client: &mut Client, request: &Request) -> Result<(), u16> {
        self.ask(client, request).outcome()
    }

    /// Allocates an IPv4 address. Returns the relayed transport address.
    pub(crate) fn allocate(&mut self, client: &mut Client) -> SocketAddr {
        let [relayed] = self.granted(client, &allocate()).relayed()[..] else {
            panic!("one relayed transport address")
        };
        relayed
    }

    /// Advances the time, and calls `handle_timeout` whenever the relay asked for it.
    pub(crate) fn advance(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.server.poll_timeout().filter(|due| *due <= end) {
            self.jump_to(due.max(self.now));
        }
        self.jump_to(end);
    }

    pub(crate) fn advance_secs(&mut self, seconds: u64) {
        self.advance(Duration::from_secs(seconds));
    }

    /// Advances the time in one step, as after a machine was suspended.
    pub(crate) fn jump_to(&mut self, now: Timestamp) {
        self.now = now;
        self.server.handle_timeout(now);
        self.drain();
        assert!(self.server.poll_timeout().is_none_or(|due| due > now), "after a time-out the next one is later");
    }

    /// Handles a message of another shard.
    pub(crate) fn hear(&mut self, message: &ShardMessage) {
        self.server.handle_shard_message(self.now, message);
        self.drain();
    }

    /// Reports the result of opening a socket.
    pub(crate) fn open(&mut self, index: usize, result: Result<(), RelayOpenError>) {
        let (id, port, family) = self.pending.remove(index);
        self.opened(id, port, family, result);
        self.drain();
    }

    /// Takes and carries out all outputs.
    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.server.poll_output() {
            self.carry_out(output);
        }
        // With many channels, this would take most of the test's time.
        if self.restores && self.server.allocations().map(|one| one.channels().len()).sum::<usize>() <= 16 {
            self.restore();
        }
    }

    /// Replaces the server with one restored from its snapshot.
    pub(crate) fn restore(&mut self) {
        let bytes = self.server.snapshot(self.now).to_bytes();
        let snapshot = Snapshot::from_bytes(&bytes).unwrap();
        self.server = snapshot.restore(self.server.config().clone(), Arc::clone(&self.accepted)).unwrap();
        assert_eq!(self.server.poll_output(), None, "nothing that is allowed ends");
        assert!(self.server.snapshot(self.now).to_bytes() == bytes, "the copy has the same snapshot");
    }

    fn carry_out(&mut self, output: Output) {
        if let Some(recorded) = &mut self.recorded {
            recorded.push(output.clone());
        }
        match output {
            Output::Transmit { from, to, bytes } => {
                self.sent.push_back(Sent { from, to: to.address(), response: Response::parse(&bytes) });
            }
            Output::OpenRelay { id, port, family, .. } if self.hold => self.pending.push((id, port, family)),
            Output::OpenRelay { id, port, family, .. } => {
                let result = self.answers.pop_front().unwrap_or(Ok(()));
                self.opened(id, port, family, result);
            }
            Output::CloseRelay { id, port, family } => {
                self.sockets.remove(&(port, family));
                self.pending.retain(|pending| *pending != (id, port, family));
            }
            Output::InstallFlow(flow) => _ = self.flows.insert(flow.key, *flow),
            Output::RemoveFlow(key) => _ = self.flows.remove(&key),
            Output::TellShards(message) => self.told.push((None, message)),
            Output::TellShard { to, message } => self.told.push((Some(to), message)),
            Output::ClaimQuota { id, holder, limit } => {
                let is_granted = self.claim(&holder, limit);
                self.server.handle_quota_claimed(self.now, id, holder, is_granted);
            }
            Output::ReleaseQuota { holder } => self.release(&holder),
            Output::Event(event) => self.events.push(event),
        }
    }

    fn claim(&mut self, holder: &QuotaHolder, limit: u32) -> bool {
        let mut claims = self.claims.borrow_mut();
        let count = claims.entry(holder.clone()).or_default();
        let is_granted = *count < limit;
        *count += u32::from(is_granted);
        is_granted
    }

    fn release(&mut self, holder: &QuotaHolder) {
        let mut claims = self.claims.borrow_mut();
        let count = claims.get_mut(holder).expect("it was claimed");
        *count = count.checked_sub(1).expect("it was claimed");
    }

    fn opened(&mut self, id: AllocationId, port: AllocationPort, family: Family, result: Result<(), RelayOpenError>) {
        if result.is_ok() {
            assert!(self.sockets.insert((port, family)), "{port} is open already");
        }
        self.server.handle_relay_opened(self.now, id, family, result);
    }
}
