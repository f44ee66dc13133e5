//! A relay with clients and peers in simulated time. Its packets are recorded as a capture.

mod client;
mod config;
mod error;
mod relaying;
#[cfg(feature = "snapshots")]
mod snapshot;

use std::net::{IpAddr, SocketAddr};

use packet_trace::{Clock, Direction, Input, Limits, RelayConfig, ShardHeader, TraceHeader, TraceWriter, format_of};
use relay_server::{
    AllocationPort, AuthSecret, Config, Family, Icmp, PeerPolicy, PeerSocket, QuotaBy, RelayAddresses, Server,
    Timestamp, UnixTime, UsernameLimit,
};
use stun_types::prelude::*;
use turn_auth::Credentials;
use turn_client::{Request, encode_channel_data, encode_send_indication};

use self::client::Client;
pub use self::{config::WorldConfig, error::WorldError};

const RELAY_V4: &str = "203.0.113.1";
const RELAY_V6: &str = "2001:db8::1";
const LISTEN_PORT: u16 = 3478;
const REALM: &str = "firezone";
const MILLISECOND: u64 = 1_000_000;
/// The time that passes before each action of a client or peer, transit included, in nanoseconds.
const TRAVEL: u64 = 20 * MILLISECOND;
/// The relay's processing time, in nanoseconds.
const WORK: u64 = 40_000;
/// The default lifetime of credentials, in seconds.
const CREDENTIALS_TTL: u64 = 3_600;

/// Identifies a client of a [`World`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(usize);

/// A relay with its clients and peers in simulated time. All packets of the relay are recorded, with the secret, so that a
/// [`Session`](crate::Session) can replay them.
#[derive(Debug)]
pub struct World {
    server: Server,
    secret: AuthSecret,
    writer: TraceWriter,
    out: Vec<u8>,
    now: u64,
    unix_seconds: u64,
    clients: Vec<Client>,
    transactions: u64,
}

impl World {
    /// Creates a world at `unix_seconds` without clients. The relay's random choices follow from `seed`.
    ///
    /// # Errors
    ///
    /// When the relay cannot be made, which does not happen with this configuration.
    pub fn new(seed: [u8; 32], unix_seconds: u64) -> Result<Self, WorldError> {
        Self::with_config(seed, unix_seconds, WorldConfig::default())
    }

    /// The same with another kind of relay.
    ///
    /// # Errors
    ///
    /// When the relay cannot be made, which does not happen with these configurations.
    pub fn with_config(seed: [u8; 32], unix_seconds: u64, world: WorldConfig) -> Result<Self, WorldError> {
        let v4 = if world.has_ipv4 { RELAY_V4.parse().ok() } else { None };
        let addresses = RelayAddresses { v4, v6: RELAY_V6.parse().ok() };
        let own_addresses: Vec<IpAddr> = Family::ALL.into_iter().filter_map(|family| addresses.of(family)).collect();
        let config = Config {
            listen_port: LISTEN_PORT,
            realm: REALM.to_owned(),
            username_limit: UsernameLimit::ReplaceOldest,
            quota_by: QuotaBy::Username,
            strict_expiry: true,
            indications: world.indications,
            dont_fragment: false,
            peer_policy: PeerPolicy::unrestricted().into(),
            ..Config::of_relay_at(addresses)
        };
        // For demonstration only, so the secret need not be secret.
        let secret = AuthSecret::from_random(seed);
        let header = TraceHeader {
            format: format_of(1),
            software: concat!("firezone-relay playground ", env!("CARGO_PKG_VERSION")).to_owned(),
            clock: Clock { unix_nanos: unix_seconds.saturating_mul(1_000 * MILLISECOND), monotonic_nanos: 0 },
            from_start: true,
            snapshots: false,
            payload_limit: None,
            ports_of_all_shards: None,
            shards: vec![ShardHeader {
                seed,
                started_nanos: 0,
                unix_seconds,
                config: RelayConfig {
                    relay_v4: addresses.v4,
                    relay_v6: addresses.v6,
                    own_addresses,
                    listen_port: LISTEN_PORT,
                    lowest_port: config.ports.lowest(),
                    highest_port: config.ports.highest(),
                    realm: REALM.to_owned(),
                    allocations_per_username: None,
                    quota_by_user_id: false,
                    allocations_per_prefix: None,
                    unlimited_user: None,
                    expiry_at_allocate_only: false,
                    nonce_lifetime_seconds: None,
                    reply_limit: None,
                    limits: None,
                    bandwidth: None,
                    indications: config.indications,
                    indicated_peers: config.indicated_peers,
                    dont_fragment: config.dont_fragment,
                    default_family_is_clients: false,
                    peer_policy: None,
                    more: serde_json::Map::new(),
                },
            }],
            auth_secret: Some(secret.expose().to_owned()),
            accepted: None,
        };
        let server = Server::new(config, secret.clone(), seed, Timestamp::ZERO, UnixTime(unix_seconds))?;
        let mut out = Vec::new();
        let writer = TraceWriter::new(header, Limits::default(), &mut out);
        Ok(Self { server, secret, writer, out, now: 0, unix_seconds, clients: Vec::new(), transactions: 0 })
    }

    /// Takes what was recorded since the last call.
    #[must_use]
    pub fn take_recording(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Ends the recording and returns the rest of it.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.writer.finish(&mut self.out);
        self.out
    }

    /// Adds a client at `socket` with credentials for an hour.
    pub fn add_client(&mut self, socket: SocketAddr) -> ClientId {
        let salt = format!("client{}", self.clients.len() + 1);
        let credentials = Credentials::mint(&self.secret, UnixTime(self.unix_time() + CREDENTIALS_TTL), &salt);
        self.clients.push(Client::new(socket, credentials));
        ClientId(self.clients.len() - 1)
    }

    /// Changes the client's address or port, as a NAT may.
    ///
    /// # Errors
    ///
    /// When there is no such client.
    pub fn move_client(&mut self, client: ClientId, socket: SocketAddr) -> Result<(), WorldError> {
        self.client_mut(client)?.socket = socket;
        Ok(())
    }

    /// Gives the client credentials that expire `seconds` from now, or expired that long ago if negative.
    ///
    /// # Errors
    ///
    /// When there is no such client.
    pub fn set_expiry(&mut self, client: ClientId, seconds: i64) -> Result<(), WorldError> {
        let expiry = UnixTime(self.unix_time().saturating_add_signed(seconds));
        let salt = format!("client{}", client.0 + 1);
        self.client_mut(client)?.credentials = Credentials::mint(&self.secret, expiry, &salt);
        Ok(())
    }

    /// Makes the client sign with a wrong password.
    ///
    /// # Errors
    ///
    /// When there is no such client.
    pub fn set_password(&mut self, client: ClientId, password: &str) -> Result<(), WorldError> {
        password.clone_into(&mut self.client_mut(client)?.credentials.password);
        Ok(())
    }

    /// The relayed transport addresses that the client knows.
    ///
    /// # Errors
    ///
    /// When there is no such client.
    pub fn relayed(&self, client: ClientId) -> Result<&[SocketAddr], WorldError> {
        Ok(&self.client(client)?.relayed)
    }

    /// Adds a comment to the next packet.
    pub fn comment(&mut self, comment: &str) {
        self.writer.comment(comment);
    }

    /// Makes a request as clients do: after a challenge, the client signs and repeats it.
    ///
    /// # Errors
    ///
    /// When there is no such client, or the request cannot be written.
    pub fn request(&mut self, client: ClientId, request: Request) -> Result<(), WorldError> {
        if self.ask(client, &request)? {
            self.ask(client, &request)?;
        }
        Ok(())
    }

    /// Makes a request once, signed if the client has had a challenge.
    ///
    /// # Errors
    ///
    /// When there is no such client, or the request cannot be written.
    pub fn request_once(&mut self, client: ClientId, request: &Request) -> Result<(), WorldError> {
        self.ask(client, request).map(drop)
    }

    /// Makes the client forget its nonce, as after a restart.
    ///
    /// # Errors
    ///
    /// When there is no such client.
    pub fn forget_challenge(&mut self, client: ClientId) -> Result<(), WorldError> {
        self.client_mut(client)?.challenge = None;
        Ok(())
    }

    /// Sends application data over a channel.
    ///
    /// # Errors
    ///
    /// When there is no such client.
    pub fn send(&mut self, client: ClientId, channel: u16, payload: &[u8]) -> Result<(), WorldError> {
        let mut datagram = Vec::new();
        encode_channel_data(channel, payload, &mut datagram);
        self.send_raw(client, datagram)
    }

    /// Sends application data to `peer` in a Send indication, with a FINGERPRINT as Firefox does.
    ///
    /// # Errors
    ///
    /// When there is no such client.
    pub fn send_to(&mut self, client: ClientId, peer: SocketAddr, payload: &[u8]) -> Result<(), WorldError> {
        let transaction = self.next_transaction();
        self.send_raw(client, encode_send_indication(peer, payload, transaction, true))
    }

    /// Sends arbitrary bytes to the relay.
    ///
    /// # Errors
    ///
    /// When there is no such client.
    pub fn send_raw(&mut self, client: ClientId, datagram: Vec<u8>) -> Result<(), WorldError> {
        let state = self.client_mut(client)?;
        let from = state.socket;
        state.last = Some(datagram.clone());
        self.travel();
        self.deliver(from, &datagram);
        Ok(())
    }

    /// Repeats the client's last datagram, with the bits of `mask` flipped in byte `at`, modulo its length.
    ///
    /// # Errors
    ///
    /// When there is no such client, or it has sent nothing.
    pub fn send_again(&mut self, client: ClientId, at: usize, mask: u8) -> Result<(), WorldError> {
        let mut datagram = self.client(client)?.last.clone().ok_or(WorldError::NothingSent)?;
        let len = datagram.len();
        if let Some(byte) = datagram.get_mut(at % len.max(1)) {
            *byte ^= mask;
        }
        self.send_raw(client, datagram)
    }

    /// Sends data from a peer to the client's relayed transport address of the peer's family.
    ///
    /// # Errors
    ///
    /// When there is no such client, or it has no such address.
    pub fn send_from_peer(&mut self, peer: SocketAddr, client: ClientId, payload: &[u8]) -> Result<(), WorldError> {
        let relayed = self.client(client)?.relayed.iter().find(|relayed| relayed.is_ipv4() == peer.is_ipv4());
        let relayed = *relayed.ok_or(WorldError::NotAllocated)?;
        self.travel();
        self.record(Direction::Inbound, peer, relayed, payload);
        let port = AllocationPort::new(relayed.port());
        let now = self.timestamp();
        let forward = self.server.handle_peer_datagram(now, port, PeerSocket::new(peer), payload);
        self.respond();
        if let Some(forward) = forward {
            self.forward(&forward, payload);
        }
        Ok(())
    }

    /// Gives the relay an ICMP error about a datagram of the client to `peer`.
    ///
    /// # Errors
    ///
    /// When there is no such client, or it has no relayed transport address of the peer's family.
    pub fn icmp(&mut self, client: ClientId, peer: SocketAddr, icmp: Icmp) -> Result<(), WorldError> {
        let relayed = self.client(client)?.relayed.iter().find(|relayed| relayed.is_ipv4() == peer.is_ipv4());
        let port = relayed.ok_or(WorldError::NotAllocated)?.port();
        self.travel();
        let Icmp { icmp_type, code, error_data } = icmp;
        self.record_input(Input::Icmp { port, peer, icmp_type, code, error_data });
        let now = self.timestamp();
        self.server.handle_icmp(now, AllocationPort::new(port), PeerSocket::new(peer), icmp);
        self.respond();
        Ok(())
    }

    /// Advances the time. Everything that is due happens on time.
    pub fn advance(&mut self, seconds: u64) {
        self.pass(seconds.saturating_mul(1_000 * MILLISECOND));
    }

    /// Advances the time by nanoseconds.
    fn pass(&mut self, nanos: u64) {
        let target = self.now.saturating_add(nanos);
        while let Some(due) = self.server.poll_timeout().filter(|due| due.as_nanos() <= target) {
            self.now = self.now.max(due.as_nanos());
            self.record_input(Input::Timeout);
            let now = self.timestamp();
            self.server.handle_timeout(now);
            self.respond();
        }
        self.now = target;
    }

    /// Makes the relay refuse new allocations.
    pub fn drain(&mut self) {
        self.travel();
        self.record_input(Input::Drain);
        self.server.handle_drain();
    }

    /// Makes a request once and handles the response. Returns whether that was a challenge to answer.
    fn ask(&mut self, client: ClientId, request: &Request) -> Result<bool, WorldError> {
        let transaction = self.next_transaction();
        let state = self.client(client)?;
        let mut message = request.write(transaction.into())?;
        let is_signed = state.challenge.is_some() && *request != Request::Binding;
        if is_signed {
            state.sign(&mut message)?;
        }
        message.add_fingerprint()?;
        let datagram = message.finish();
        let socket = state.socket;
        self.client_mut(client)?.last = Some(datagram.clone());
        self.travel();
        let answers = self.deliver(socket, &datagram);
        let state = self.client_mut(client)?;
        let mut challenged = false;
        for (_, bytes) in answers.iter().filter(|(to, _)| *to == socket) {
            challenged |= state.take_answer(bytes, is_signed);
        }
        Ok(challenged)
    }

    fn travel(&mut self) {
        self.pass(TRAVEL);
    }

    const fn timestamp(&self) -> Timestamp {
        Timestamp::from_nanos(self.now)
    }

    const fn unix_time(&self) -> u64 {
        self.unix_seconds + self.now / (1_000 * MILLISECOND)
    }

    fn next_transaction(&mut self) -> u128 {
        // Reproducible, and spread so that they do not look like a counter.
        self.transactions += 1;
        let number = u128::from(self.transactions);
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) & ((1 << 96) - 1)
    }

    fn client(&self, client: ClientId) -> Result<&Client, WorldError> {
        self.clients.get(client.0).ok_or(WorldError::NoClient(client.0))
    }

    fn client_mut(&mut self, client: ClientId) -> Result<&mut Client, WorldError> {
        self.clients.get_mut(client.0).ok_or(WorldError::NoClient(client.0))
    }
}
