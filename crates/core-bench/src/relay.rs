use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use relay_server::{
    AllocationPort, AuthSecret, ClientSocket, Config, FiveTuple, Output, PeerSocket, PortRange, RelayAddresses, Server,
    Timestamp, UnixTime, UsernameLimit,
};

use crate::client::{Client, Newcomer};

pub(crate) const RELAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const NOW: Timestamp = Timestamp::from_secs(1);
const UNIX_TIME: UnixTime = UnixTime(1_800_000_000);
/// Its clients' peer.
pub(crate) const PEER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
pub(crate) const PEER_PORT: u16 = 50_000;
/// Odd, and sharing no factor with any number of clients, so that every client has its turn in an order that caches do not like.
pub const STRIDE: usize = 7_919;

/// A relay that no socket belongs to, and clients with an allocation and a channel each.
#[derive(Debug)]
pub struct Relay {
    server: Server,
    clients: Vec<Client>,
    newcomer: Option<Newcomer>,
    turn: usize,
}

impl Relay {
    /// One with `count` clients, at most 60,000.
    ///
    /// # Errors
    ///
    /// When one of them could not allocate or bind its channel.
    pub fn with_clients(count: usize) -> Result<Self> {
        let secret = AuthSecret::from_random([1; 32]);
        let credentials = turn_auth::Credentials::mint(&secret, UnixTime(UNIX_TIME.0 + 86_400), "bench");
        let config = Config {
            relay_addresses: RelayAddresses { v4: Some(RELAY), v6: None },
            own_addresses: vec![RELAY.into()],
            listen_port: 3478,
            ports: PortRange::new(4_000, u16::MAX)?,
            realm: "firezone".to_owned(),
            username_limit: UsernameLimit::RefuseBeyond(u32::MAX),
        };
        let server = Server::new(config, secret, [2; 32], NOW, UNIX_TIME)?;
        let mut relay = Self { server, clients: Vec::new(), newcomer: None, turn: 0 };
        for index in 0..count {
            let client = Client::open(&mut relay, index, &credentials)?;
            relay.clients.push(client);
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

    /// Lets client number `index` send what `choose` says; says whether it is to be relayed.
    pub(crate) fn sends(&mut self, index: usize, choose: impl Fn(&Client) -> &[u8]) -> bool {
        let client = &self.clients[index];
        let from = FiveTuple { client: ClientSocket::new(client.address), server: RELAY.into() };
        self.server.handle_client_datagram(NOW, from, choose(client)).is_some()
    }

    /// Lets the client that has no allocation send what `choose` says.
    pub(crate) fn newcomer_sends(&mut self, choose: impl Fn(&Newcomer) -> &[u8]) {
        if let Some(newcomer) = &self.newcomer {
            let from = FiveTuple { client: ClientSocket::new(newcomer.address), server: RELAY.into() };
            self.server.handle_client_datagram(NOW, from, choose(newcomer));
        }
    }

    /// Gives the relay a datagram of `client`; says whether it is to be relayed.
    pub(crate) fn receive_from_client(&mut self, client: SocketAddr, datagram: &[u8]) -> bool {
        let from = FiveTuple { client: ClientSocket::new(client), server: RELAY.into() };
        self.server.handle_client_datagram(NOW, from, datagram).is_some()
    }

    /// Gives the relay a datagram of the peer; says whether it is to be relayed.
    pub(crate) fn receive_from_peer(&mut self, port: AllocationPort, datagram: &[u8]) -> bool {
        let peer = PeerSocket::new(SocketAddr::from((PEER, PEER_PORT)));
        self.server.handle_peer_datagram(NOW, port, peer, datagram).is_some()
    }

    /// Hands over what the relay answers.
    pub(crate) fn answer(&mut self, mut respond: impl FnMut(&[u8])) {
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Transmit { bytes, .. } => respond(&bytes),
                Output::OpenRelay { id, family, .. } => self.server.handle_relay_opened(NOW, id, family, Ok(())),
                _ => {}
            }
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        self.server.poll_timeout()
    }
}
