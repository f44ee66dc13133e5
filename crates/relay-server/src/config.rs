use std::{net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use turn_auth::NonceIssuer;

use crate::{Bandwidth, Limits, PeerPolicy, PortRange, RelayAddresses};

/// How long a nonce holds at least, unless [`Config::nonce_lifetime`] says otherwise.
pub const DEFAULT_NONCE_LIFETIME: Duration = Duration::from_secs(NonceIssuer::PERIOD_SECONDS);

/// What a [`Server`](crate::Server) needs to know about the relay that it is the mind of.
#[derive(Clone, Debug)]
pub struct Config {
    /// The addresses told to clients in XOR-RELAYED-ADDRESS; a family without one is not offered.
    pub relay_addresses: RelayAddresses,
    /// Every address that packets to the relay may carry as their destination (local ones, and the public ones when the
    /// relay sits behind a one-to-one NAT). What peers may be there, [`Self::peer_policy`] says. This is how they
    /// are at the start: [`Server::handle_own_addresses`](crate::Server::handle_own_addresses) changes them.
    pub own_addresses: Vec<IpAddr>,
    /// The UDP port that clients send to; 3478 by default.
    pub listen_port: u16,
    /// The ports this server draws relayed transport addresses from. One of several shards may have none of its own.
    pub ports: PortRange,
    /// The REALM of every challenge.
    pub realm: String,
    /// How many allocations one user may hold, and what happens beyond.
    pub username_limit: UsernameLimit,
    /// Who counts as one user.
    pub quota_by: QuotaBy,
    /// How many allocations all clients of one network ([`ClientPrefix`](crate::ClientPrefix)) may hold together, on all shards; beyond it
    /// the answer is 486 (Allocation Quota Reached). `None` for no limit.
    pub allocations_per_prefix: Option<NonZeroU32>,
    /// A user id whom [`UsernameLimit::RefuseBeyond`] does not concern.
    pub unlimited_user: Option<Arc<str>>,
    /// Whether credentials must not have expired for any request of an allocation. Otherwise they must not for Allocate only, and a
    /// call may outlive its credential.
    pub strict_expiry: bool,
    /// How long a nonce holds at least; it holds for twice as long at most. Whole seconds from
    /// [`NonceIssuer::MIN_PERIOD_SECONDS`](turn_auth::NonceIssuer::MIN_PERIOD_SECONDS) to
    /// [`NonceIssuer::MAX_PERIOD_SECONDS`](turn_auth::NonceIssuer::MAX_PERIOD_SECONDS).
    pub nonce_lifetime: Duration,
    /// How many replies per second, of each [`ReplyKind`](crate::ReplyKind), go to one address that has shown no credentials;
    /// [`REPLY_BURST_SECONDS`](crate::REPLY_BURST_SECONDS) times as many at once; a prefix (/24, /56) is sent twice as many.
    /// `None` for no limit.
    pub reply_limit: Option<NonZeroU32>,
    /// How many channels and permissions there may be on this server; beyond it the answer is 508.
    pub limits: Limits,
    /// How much may be relayed; beyond it packets are dropped. Where it is limited, there are no flows
    /// ([`Output::InstallFlow`](crate::Output::InstallFlow)).
    pub bandwidth: Bandwidth,
    /// Whether data is relayed in Send and Data indications, too, and not through channels only.
    pub indications: bool,
    /// How many transport addresses of peers, of all allocations together, are remembered so that a faster data path forwards what they
    /// and clients exchange by [`Self::indications`] ([`Output::InstallFlow`](crate::Output::InstallFlow)); of each allocation at most
    /// [`INDICATED_PEERS_PER_ALLOCATION`](crate::INDICATED_PEERS_PER_ALLOCATION). 0 for none, as where there is no such data path.
    pub indicated_peers: u32,
    /// Whether the caller can send to peers with the DF bit set ([`Encapsulation::Unfragmented`](crate::Encapsulation::Unfragmented)).
    /// Otherwise, or without [`Self::indications`], DONT-FRAGMENT is an attribute that the relay does not know.
    pub dont_fragment: bool,
    /// The family of an allocation whose client asks for none.
    pub default_family: DefaultFamily,
    /// Which peers may be relayed to. This is how it is at the start:
    /// [`Server::handle_peer_policy`](crate::Server::handle_peer_policy) changes it.
    pub peer_policy: Arc<PeerPolicy>,
}

impl Config {
    /// That of a relay at these addresses, which are its machine's own: port 3478, the dynamic ports, indications, ten allocations for a
    /// user id, no peer that [`PeerPolicy::of_relay_at`] denies, and no other limits than [`Limits::default`]. The realm is `firezone`.
    #[must_use]
    pub fn of_relay_at(relay_addresses: RelayAddresses) -> Self {
        Self {
            relay_addresses,
            own_addresses: relay_addresses.iter().collect(),
            listen_port: 3478,
            ports: PortRange::DYNAMIC,
            realm: "firezone".to_owned(),
            username_limit: UsernameLimit::RefuseBeyond(10),
            quota_by: QuotaBy::UserId,
            allocations_per_prefix: None,
            unlimited_user: None,
            strict_expiry: false,
            nonce_lifetime: DEFAULT_NONCE_LIFETIME,
            reply_limit: None,
            limits: Limits::default(),
            bandwidth: Bandwidth::default(),
            indications: true,
            indicated_peers: 0,
            dont_fragment: true,
            default_family: DefaultFamily::V4,
            peer_policy: PeerPolicy::of_relay_at(&relay_addresses, []).into(),
        }
    }
}

/// The family of the relayed transport address of a client that asks for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DefaultFamily {
    /// IPv4, as [RFC 8656, section 7.2](https://www.rfc-editor.org/rfc/rfc8656#section-7.2) has it.
    #[default]
    V4,
    /// The family of the address that the client sends from: browsers never ask for a family, so that a relay without an IPv4
    /// address could not serve them otherwise.
    Client,
}

/// Who counts as one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaBy {
    /// Each username is one.
    Username,
    /// All usernames that differ in nothing but their expiry are one: what stays when a credential is renewed.
    UserId,
}

/// How many allocations one user may hold at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsernameLimit {
    /// One; a new one from another 5-tuple takes the place of the old (a NAT that changed its mapping looks like this).
    ReplaceOldest,
    /// This many; beyond it the answer is 486 (Allocation Quota Reached).
    RefuseBeyond(u32),
}
