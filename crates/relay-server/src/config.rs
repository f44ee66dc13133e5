//! The configuration of a server.

use std::{net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use turn_auth::NonceIssuer;

use crate::{Bandwidth, Limits, PeerPolicy, PortRange, RelayAddresses};

/// The default of [`Config::nonce_lifetime`].
pub const DEFAULT_NONCE_LIFETIME: Duration = Duration::from_secs(NonceIssuer::PERIOD_SECONDS);

/// The configuration of a [`Server`](crate::Server).
#[derive(Clone, Debug)]
pub struct Config {
    /// The addresses that clients get in XOR-RELAYED-ADDRESS. A family without an address is not offered.
    pub relay_addresses: RelayAddresses,
    /// Every address that packets to the relay may carry as their destination: local ones, and the public ones when the relay is
    /// behind a one-to-one NAT. [`Self::peer_policy`] decides which peers at these addresses are allowed. This is the initial
    /// value: [`Server::handle_own_addresses`](crate::Server::handle_own_addresses) changes it.
    pub own_addresses: Vec<IpAddr>,
    /// The UDP port that clients send to, usually 3478.
    pub listen_port: u16,
    /// The ports that this server draws relayed transport addresses from. One of several shards may have an empty range.
    pub ports: PortRange,
    /// The REALM of every challenge.
    pub realm: String,
    /// How many allocations one user may have, and what happens beyond that.
    pub username_limit: UsernameLimit,
    /// What counts as one user.
    pub quota_by: QuotaBy,
    /// How many allocations all clients of one network ([`ClientPrefix`](crate::ClientPrefix)) may have together, on all shards.
    /// Beyond that, the answer is 486 (Allocation Quota Reached). `None` for no limit.
    pub allocations_per_prefix: Option<NonZeroU32>,
    /// A user id that is exempt from [`UsernameLimit::RefuseBeyond`].
    pub unlimited_user: Option<Arc<str>>,
    /// Whether every request of an allocation needs a credential that has not expired. If not, only Allocate does: a call may
    /// outlive its credential.
    pub strict_expiry: bool,
    /// The minimum lifetime of a nonce; the maximum is twice as long. Whole seconds from
    /// [`NonceIssuer::MIN_PERIOD_SECONDS`](turn_auth::NonceIssuer::MIN_PERIOD_SECONDS) to
    /// [`NonceIssuer::MAX_PERIOD_SECONDS`](turn_auth::NonceIssuer::MAX_PERIOD_SECONDS).
    pub nonce_lifetime: Duration,
    /// How many replies per second, of each [`ReplyKind`](crate::ReplyKind), an address gets that has shown no credentials. The
    /// burst is [`REPLY_BURST_SECONDS`](crate::REPLY_BURST_SECONDS) times as large. A prefix (/24, /56) gets twice as many.
    /// `None` for no limit.
    pub reply_limit: Option<NonZeroU32>,
    /// Limits on channels and permissions of this server. Beyond them the answer is 508 (Insufficient Capacity).
    pub limits: Limits,
    /// Limits on relayed data. Packets beyond them are dropped. With any limit, the server installs no flows
    /// ([`Output::InstallFlow`](crate::Output::InstallFlow)).
    pub bandwidth: Bandwidth,
    /// Whether data is relayed in Send and Data indications, too, not only through channels.
    pub indications: bool,
    /// How many transport addresses of peers are remembered, of all allocations together, so that a faster data path can forward
    /// [`Self::indications`] ([`Output::InstallFlow`](crate::Output::InstallFlow)). The limit for each allocation is
    /// [`INDICATED_PEERS_PER_ALLOCATION`](crate::INDICATED_PEERS_PER_ALLOCATION). 0 if there is no such data path.
    pub indicated_peers: u32,
    /// Whether the caller can send to peers with the DF bit set
    /// ([`Encapsulation::Unfragmented`](crate::Encapsulation::Unfragmented)).
    /// If not, or without [`Self::indications`], the relay treats DONT-FRAGMENT as an unknown attribute.
    pub dont_fragment: bool,
    /// The family of an allocation whose Allocate request names none.
    pub default_family: DefaultFamily,
    /// Which peers may be relayed to. This is the initial value:
    /// [`Server::handle_peer_policy`](crate::Server::handle_peer_policy) changes it.
    pub peer_policy: Arc<PeerPolicy>,
}

impl Config {
    /// The configuration of a relay at these addresses, which are its machine's own: port 3478, the dynamic ports, indications, ten
    /// allocations per user id, the peers of [`PeerPolicy::of_relay_at`], and no limits but [`Limits::default`]. The realm is
    /// `firezone`.
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

/// The family of an allocation whose Allocate request names none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DefaultFamily {
    /// IPv4, as [RFC 8656, section 7.2](https://www.rfc-editor.org/rfc/rfc8656#section-7.2) has it.
    #[default]
    V4,
    /// The family of the client's own address. Browsers never ask for a family, so without this a relay that has no IPv4 address
    /// cannot serve them.
    Client,
}

/// What counts as one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaBy {
    /// Each username.
    Username,
    /// All usernames that differ only in their expiry: the user id stays the same when a credential is renewed.
    UserId,
}

/// How many allocations one user may have at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsernameLimit {
    /// One. A new one from another 5-tuple replaces the old one, since a NAT that changed its mapping looks like this.
    ReplaceOldest,
    /// This many. Beyond that, the answer is 486 (Allocation Quota Reached).
    RefuseBeyond(u32),
}
