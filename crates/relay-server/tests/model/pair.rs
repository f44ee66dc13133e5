//! The relay and the reference model, side by side.

mod compare;
mod data;
mod opening;

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use relay_server::{Config, FlowKey, ShardMessage, TransactionId, UsernameLimit};

use crate::{
    cast,
    ledger::Ledger,
    op::{AllocateOp, Flaw, Op, PeerOp, TokenOp, UserOp, Wait},
    reference::{Reference, Verdict},
    support::{
        Client, Credentials, Relay, Request, Response, UNIX_TIME, append, append_integrity, binding, kind, method,
        permit, refresh,
    },
};

pub(crate) struct Pair {
    relay: Relay,
    reference: Reference,
    ledger: Ledger,
    clients: Vec<Client>,
    /// The last Allocate request of each client.
    last_allocates: Vec<Option<AllocateMessage>>,
    /// The reservation tokens that were granted.
    tokens: Vec<[u8; 8]>,
    /// Keys that two channels have had at the same time. Happens if a client's socket sends to two addresses of the relay.
    contested: BTreeSet<FlowKey>,
    /// The transaction ID of the last Data indication.
    last_transaction: Option<TransactionId>,
    /// Whether each step ends with data to and from all outside peers.
    asks_outside: bool,
}

/// An Allocate request as it was sent.
#[derive(Clone)]
struct AllocateMessage {
    user: usize,
    transaction: [u8; 12],
    request: AllocateOp,
    token: Option<[u8; 8]>,
}

impl Pair {
    pub(crate) fn new(seed: [u8; 32], asks_outside: bool, configure: impl FnOnce(&mut Config)) -> Self {
        let mut relay = Relay::seeded(seed, configure);
        relay.hold = true;
        Self {
            reference: Reference::new(relay.server.config().clone()),
            relay,
            ledger: Ledger::default(),
            clients: (0..cast::CLIENTS).map(cast::client).collect(),
            last_allocates: vec![None; cast::CLIENTS],
            tokens: Vec::new(),
            contested: BTreeSet::new(),
            last_transaction: None,
            asks_outside,
        }
    }

    /// Records every output from now on.
    pub(crate) fn record(&mut self) {
        self.relay.recorded = Some(Vec::new());
    }

    /// Replaces the server with one restored from a snapshot.
    pub(crate) fn restore(&mut self) {
        self.relay.restore();
    }

    /// The outputs since [`Self::record`].
    pub(crate) fn recorded(self) -> Vec<relay_server::Output> {
        self.relay.recorded.unwrap_or_default()
    }

    pub(crate) fn step(&mut self, op: Op) {
        if let Op::Wait { duration, how } = op {
            return self.wait(duration, how);
        }
        self.reference.pass(self.relay.now);
        match op {
            Op::Allocate { client, user, request, sockets } => {
                let user = self.user(client, user);
                let token = request.token.map(|token| self.token(token));
                let transaction = self.clients[client].next_transaction();
                let message = AllocateMessage { user, transaction, request, token };
                self.allocate(client, &message);
                self.last_allocates[client] = Some(message);
                self.settle(client, sockets);
            }
            Op::RetransmitAllocate { client, impostor } => {
                self.relay.jump_to(self.relay.now);
                if let Some(message) = self.last_allocates[client].clone() {
                    let user = impostor.unwrap_or(message.user);
                    self.allocate(client, &AllocateMessage { user, ..message });
                }
            }
            Op::Refresh { client, user, lifetime, family } => {
                let mut request = lifetime.map_or_else(refresh, |seconds| refresh().with_lifetime(seconds));
                if let Some(family) = family {
                    request = request.with_family(family);
                }
                self.authenticated(client, self.user(client, user), &request, |pair, who| {
                    let response = pair.reference.refresh(pair.relay.now, who, lifetime, family);
                    response.map(|granted| vec![(kind::LIFETIME, granted.to_be_bytes().to_vec())])
                });
            }
            Op::ChannelBind { client, user, number, peer } => {
                let peer = peer.map(|peer| self.peer(peer));
                self.bind(client, self.user(client, user), number, peer);
            }
            Op::RebindAll { client } => {
                self.relay.jump_to(self.relay.now);
                let five_tuple = self.clients[client].five_tuple();
                let channels = self.reference.find(five_tuple).map(|allocation| allocation.channels.clone());
                for channel in channels.unwrap_or_default() {
                    self.bind(client, self.user(client, UserOp::Owner), Some(channel.number), Some(channel.peer));
                }
            }
            Op::BindEachOther { clients: (one, other), family, numbers } => {
                for (client, peer, number) in [(one, other, numbers.0), (other, one, numbers.1)] {
                    let peer = self.peer(PeerOp::Client(peer, family));
                    self.bind(client, self.user(client, UserOp::Owner), Some(number), Some(peer));
                }
            }
            Op::CreatePermission { client, user, peers } => {
                let peers: Vec<SocketAddr> = peers.into_iter().map(|peer| self.peer(peer)).collect();
                self.permit(client, self.user(client, user), &peers);
            }
            Op::PermitMany { client, count } => {
                let peers: Vec<SocketAddr> = (0..count).map(cast::one_of_many).collect();
                self.permit(client, self.user(client, UserOp::Owner), &peers);
            }
            Op::PermitEachOther { clients: (one, other), family } => {
                for (client, peer) in [(one, other), (other, one)] {
                    let peer = self.peer(PeerOp::Client(peer, family));
                    self.permit(client, self.user(client, UserOp::Owner), &[peer]);
                }
            }
            Op::Binding { client } => {
                let bytes = self.clients[client].unsigned(&binding());
                let response = self.relay.answer(&self.clients[client], &bytes).expect("an answer");
                assert_eq!(response.addresses(kind::XOR_MAPPED_ADDRESS), [self.clients[client].socket]);
            }
            Op::Stranger { client, user, flaw } => self.stranger(client, self.user(client, user), flaw),
            Op::UnknownAttribute { client, user, method } => {
                let request = Request::new(method).with(0x7777, b"value");
                self.authenticated(client, self.user(client, user), &request, |_, _| Err(420));
            }
            Op::ChannelData { client, number, len, padding } => self.channel_data(client, number, len, padding),
            Op::Send { client, peer, len, oddity } => {
                self.send_indication(client, peer.map(|peer| self.peer(peer)), len, oddity);
            }
            Op::PeerDatagram { to, peer, len } => self.peer_datagram(self.port_of(to), self.peer(peer), len),
            Op::Icmp { to, peer, message, times } => {
                for _ in 0..times {
                    self.icmp(self.port_of(to), self.peer(peer), message);
                }
            }
            Op::Opened { index, result } => {
                if self.relay.pending.is_empty() {
                    self.relay.jump_to(self.relay.now);
                } else {
                    self.open(index % self.relay.pending.len(), result);
                }
            }
            Op::RelayFailed { client } => {
                self.relay.jump_to(self.relay.now);
                let five_tuple = self.clients[client].five_tuple();
                let id =
                    self.relay.server.allocations().find(|real| real.five_tuple() == five_tuple).map(|real| real.id());
                if let Some(id) = id {
                    self.relay.server.handle_relay_failed(id);
                    self.relay.drain();
                }
                self.reference.allocations.retain(|allocation| allocation.five_tuple != five_tuple);
            }
            Op::UsernameMoved { user } => {
                self.relay.jump_to(self.relay.now);
                let user_id = self.reference.user_id(user);
                let after_all = self.relay.now + Duration::from_nanos(1);
                self.relay.hear(&ShardMessage::UsernameMoved { user_id: user_id.into(), created_at: after_all });
                let Reference { allocations, .. } = &self.reference;
                let kept =
                    allocations.iter().filter(|held| !self.reference.is_same_user(held.user, user)).cloned().collect();
                self.reference.allocations = kept;
            }
            Op::Wait { .. } => {}
        }
        self.compare();
    }

    /// Drains the relay, lets everything expire, and checks that nothing is left.
    pub(crate) fn finish(&mut self) {
        self.relay.jump_to(self.relay.now);
        self.reference.pass(self.relay.now);
        self.compare();
        self.relay.server.handle_drain();
        let mut late = Client::new("198.51.100.99:50000");
        let family = if self.reference.config.relay_addresses.v4.is_some() { 1 } else { 2 };
        let refused = self.relay.ask(&mut late, &crate::support::allocate().with_family(family));
        assert_eq!(refused.outcome(), if self.quota_is_zero() { Err(486) } else { Err(508) });
        self.compare();

        self.wait(Duration::from_secs(3600 + 60), Wait::Woken);
        assert_eq!(self.relay.server.allocation_count(), 0);
        assert_eq!(self.relay.server.poll_timeout(), None);
        assert_eq!((self.relay.sockets.len(), self.relay.flows.len(), self.relay.pending.len()), (0, 0, 0));
        assert_eq!(self.ledger.rows(), []);
    }

    fn quota_is_zero(&self) -> bool {
        self.reference.config.username_limit == UsernameLimit::RefuseBeyond(0)
    }

    fn wait(&mut self, duration: Duration, how: Wait) {
        match how {
            Wait::Woken => self.relay.advance(duration),
            Wait::Late => self.relay.jump_to(self.relay.now + duration),
            Wait::Asleep => {
                self.relay.now = self.relay.now + duration;
                return;
            }
        }
        self.reference.pass(self.relay.now);
        self.compare();
    }

    /// Sends an authenticated request. `expect` returns the expected error code, or the attributes of the success response.
    fn authenticated(
        &mut self,
        client: usize,
        user: usize,
        request: &Request,
        expect: impl FnOnce(&mut Self, (relay_server::FiveTuple, usize)) -> Result<Vec<(u16, Vec<u8>)>, u16>,
    ) {
        let transaction = self.clients[client].next_transaction();
        let response = self.send(client, user, request, transaction).expect("an answer");
        let five_tuple = self.clients[client].five_tuple();
        let refused = self.expired(user) && self.reference.is_expiry_asked_for(five_tuple, user, request.method());
        let expected = match refused {
            true => Err(401),
            false => expect(self, (five_tuple, user)),
        };
        assert_eq!(response.outcome(), expected.as_ref().map(|_| ()).map_err(|code| *code));
        for (attribute, value) in expected.iter().flatten() {
            assert_eq!(response.attribute(*attribute), Some(value.as_slice()));
        }
    }

    fn bind(&mut self, client: usize, user: usize, number: Option<u16>, peer: Option<SocketAddr>) {
        let mut request = Request::new(method::CHANNEL_BIND);
        if let Some(number) = number {
            let [high, low] = number.to_be_bytes();
            request = request.with(kind::CHANNEL_NUMBER, &[high, low, 0, 0]);
        }
        if let Some(peer) = peer {
            request = request.with_peer(peer);
        }
        self.authenticated(client, user, &request, |pair, who| {
            pair.reference.bind(pair.relay.now, who, number, peer).map(|()| Vec::new())
        });
    }

    fn permit(&mut self, client: usize, user: usize, peers: &[SocketAddr]) {
        self.authenticated(client, user, &permit(peers), |pair, who| {
            pair.reference.permit(pair.relay.now, who, peers).map(|()| Vec::new())
        });
    }

    fn allocate(&mut self, client: usize, message: &AllocateMessage) {
        let AllocateMessage { user, transaction, ref request, token } = *message;
        // Gets a nonce and does what is due, which may cancel a socket that is being opened.
        self.relay.challenge(&mut self.clients[client]);
        let pending = self.relay.pending.len();
        let response = self.send(client, user, &opening::allocate_request(request, token), transaction);
        let verdict = match self.expired(user) {
            true => Verdict::Refuse(401),
            false => self.reference.judge_allocate(client, user, transaction, request, token),
        };
        let asked = self.relay.pending.get(pending).copied();
        match verdict {
            Verdict::Refuse(code) => assert_eq!(response.expect("an answer").outcome(), Err(code)),
            Verdict::Ignore => assert_eq!(response, None),
            Verdict::Repeat => {
                let five_tuple = self.clients[client].five_tuple();
                self.check_success(&response.expect("an answer"), five_tuple);
            }
            Verdict::Open(kind, families) => {
                assert_eq!(response, None, "nothing is told before the socket is open");
                let (_, port, family) = asked.expect("a socket is asked for");
                self.begin(client, message, (kind, families), (port.get(), family));
                return;
            }
        }
        assert_eq!(asked, None);
    }

    /// Sends an Allocate request that fails authentication.
    fn stranger(&mut self, client: usize, user: usize, flaw: Flaw) {
        let transaction = self.clients[client].next_transaction();
        let mut credentials = cast::credentials(user);
        self.relay.challenge(&mut self.clients[client]);
        let mut nonce = self.clients[client].nonce.clone();
        let mut code = 401;
        match flaw {
            Flaw::NoIntegrity => {}
            Flaw::NoNonce => code = 400,
            Flaw::WrongPassword => credentials.key[0] ^= 1,
            Flaw::NonceOfAnother => {
                // The nonce is valid for all ports of an address, so it comes from another address.
                let mut other = Client::new("203.0.113.77:50000");
                self.relay.challenge(&mut other);
                nonce = other.nonce;
                code = if self.expired(user) { 401 } else { 438 };
            }
            Flaw::ExpiredUsername => credentials = Credentials::mint(UNIX_TIME - 1, "alice"),
        }
        let request = crate::support::allocate();
        let bytes = match flaw {
            Flaw::NoIntegrity => request.unsigned(transaction),
            Flaw::NoNonce => {
                let mut bytes = request.plain(transaction);
                append(&mut bytes, kind::USERNAME, &credentials.username);
                append(&mut bytes, kind::REALM, b"firezone");
                append_integrity(&mut bytes, &credentials.key);
                bytes
            }
            _ => request.signed(transaction, &credentials, &nonce),
        };
        let response = self.relay.answer(&self.clients[client], &bytes).expect("an answer");
        assert_eq!(response.outcome(), Err(code));
        assert!(!response.is_signed_with(&credentials.key));
    }

    /// Sends a signed request with a fresh nonce. All responses but 401 must be signed.
    fn send(&mut self, client: usize, user: usize, request: &Request, transaction: [u8; 12]) -> Option<Response> {
        let credentials = cast::credentials(user);
        let asker = &mut self.clients[client];
        self.relay.challenge(asker);
        let bytes = request.signed(transaction, &credentials, &asker.nonce);
        let response = self.relay.answer(asker, &bytes)?;
        assert_eq!(response.is_signed_with(&credentials.key), response.error_code() != Some(401));
        Some(response)
    }

    fn user(&self, client: usize, user: UserOp) -> usize {
        let five_tuple = self.clients[client].five_tuple();
        let allocation = self.reference.allocations.iter().find(|allocation| allocation.five_tuple == five_tuple);
        match user {
            UserOp::Owner => allocation.map_or(client % cast::USERS, |allocation| allocation.user),
            UserOp::Any(user) => user,
        }
    }

    fn expired(&self, user: usize) -> bool {
        let elapsed = self.relay.now.saturating_duration_since(relay_server::Timestamp::from_secs(1_000));
        user == cast::BRIEF_USER && elapsed.as_secs() >= cast::BRIEF_EXPIRY
    }

    fn peer(&self, peer: PeerOp) -> SocketAddr {
        match peer {
            PeerOp::Outside(index) => cast::outside(index),
            PeerOp::Forbidden(index) => cast::forbidden()[index],
            PeerOp::Client(client, family) => {
                let addresses = self.reference.config.relay_addresses;
                addresses
                    .of(family)
                    .map_or_else(|| cast::outside(0), |address| SocketAddr::new(address, self.port_of(client)))
            }
        }
    }

    /// The port of a client's allocation, or any other port.
    fn port_of(&self, client: usize) -> u16 {
        let five_tuple = self.clients[client].five_tuple();
        let allocation = self.reference.allocations.iter().find(|allocation| allocation.five_tuple == five_tuple);
        allocation.map_or(50_003, |allocation| allocation.port)
    }

    fn token(&self, token: TokenOp) -> [u8; 8] {
        match token {
            TokenOp::Recent(age) => self.tokens.iter().rev().nth(age).copied().unwrap_or([0; 8]),
            TokenOp::MadeUp => *b"made up!",
        }
    }
}
