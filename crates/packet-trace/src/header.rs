use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU64,
};

use serde::{Deserialize, Serialize};

use crate::{AcceptedCredentials, PeerPolicy};

/// The newest trace format that this version writes and reads. See [`format_of`].
pub const FORMAT: u32 = 2;

/// The format of a trace of so many shards. In format 1 each shard has an interface of its own. In format 2 all have one, since libpcap
/// reads no file with two interfaces for raw IP packets, and an option of each packet says which shard it is of. For one shard the two
/// are the same, and older readers read format 1 only.
#[must_use]
pub const fn format_of(shards: usize) -> u32 {
    if shards > 1 { 2 } else { 1 }
}

/// What a replay needs besides packets and inputs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceHeader {
    /// The version of this structure, at most [`FORMAT`].
    pub format: u32,
    /// What recorded the trace, such as `firezone-relay 1.2.3`.
    pub software: String,
    /// How the relay's monotonic clock relates to Unix time.
    pub clock: Clock,
    /// Whether the recording began before the first packet. Otherwise the trace can be replayed only if it
    /// [has the state](Self::snapshots) that the relay had.
    pub from_start: bool,
    /// Whether the recording of each shard begins with a [`ShardSnapshot`](crate::ShardSnapshot), which takes the place of the shard's
    /// seed and configuration here. False for earlier versions.
    #[serde(default, skip_serializing_if = "is_false")]
    pub snapshots: bool,
    /// Application data was cut to this length in bytes; `None` if it was not cut. In an indication, zeros replace the data if another
    /// attribute follows it. Otherwise clients' STUN messages are whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_limit: Option<u32>,
    /// The lowest and the highest port of all shards' relayed transport addresses. Each shard draws from its own part. `None` if there is
    /// only one shard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports_of_all_shards: Option<(u16, u16)>,
    /// The relay's shards. The index in this list is the shard's number.
    pub shards: Vec<ShardHeader>,
    /// The secret that signs credentials. Recorded only on explicit request: anyone who has it can use the relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_secret: Option<String>,
    /// All accepted credentials, [`Self::auth_secret`] included. Recorded only on explicit request, too. `None` in older traces, whose relays
    /// accepted only that secret, in Firezone's scheme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<AcceptedCredentials>,
}

/// One moment on two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Nanoseconds since the Unix epoch.
    pub unix_nanos: u64,
    /// The relay's monotonic clock at that moment, in nanoseconds since the relay's own epoch.
    pub monotonic_nanos: u64,
}

/// The arguments that one state machine was constructed with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardHeader {
    /// The seed of all its random choices; zeros unless the secret is recorded from the relay's start.
    #[serde(with = "hex_seed")]
    pub seed: [u8; 32],
    /// Monotonic time of its construction, in nanoseconds since the relay's own epoch.
    pub started_nanos: u64,
    /// Wall-clock time of its construction, in seconds since the Unix epoch.
    pub unix_seconds: u64,
    /// Its configuration.
    pub config: RelayConfig,
}

/// The configuration of one state machine. It is a type of its own, so that traces stay readable when the code changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayConfig {
    /// The IPv4 address told to clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay_v4: Option<Ipv4Addr>,
    /// The IPv6 address told to clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay_v6: Option<Ipv6Addr>,
    /// Every address that packets to the relay carry as their destination.
    pub own_addresses: Vec<IpAddr>,
    /// The UDP port that clients send to.
    pub listen_port: u16,
    /// The lowest port of relayed transport addresses.
    pub lowest_port: u16,
    /// The highest port of relayed transport addresses.
    pub highest_port: u16,
    /// The REALM.
    pub realm: String,
    /// How many allocations a user may have; `None`: one for each username, and a new one replaces the old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocations_per_username: Option<u32>,
    /// Whether usernames that differ only in their expiry were one user.
    #[serde(default, skip_serializing_if = "is_false")]
    pub quota_by_user_id: bool,
    /// How many allocations the clients of one network may have together; `None`: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocations_per_prefix: Option<u32>,
    /// The user id that [`Self::allocations_per_username`] does not limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlimited_user: Option<String>,
    /// Whether the expiry of credentials was checked only for Allocate requests. False for earlier versions.
    #[serde(default, skip_serializing_if = "is_false")]
    pub expiry_at_allocate_only: bool,
    /// How long a nonce was valid at least; `None` in older traces: 600 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce_lifetime_seconds: Option<u64>,
    /// How many replies per second one address without valid credentials could get; `None`: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_limit: Option<u32>,
    /// How many channels and permissions there could be; `None` in older traces: 4,096 for each allocation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RelayLimits>,
    /// How much could be relayed; `None`: any amount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<RelayBandwidth>,
    /// Whether data is relayed in Send and Data indications, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub indications: bool,
    /// How many peers of indications it remembered for a faster data path. Zero for earlier versions.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub indicated_peers: u32,
    /// Whether DONT-FRAGMENT in Send indications was honoured. False for earlier versions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dont_fragment: bool,
    /// Whether a client that requests no family gets its own family. Otherwise it gets IPv4.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub default_family_is_clients: bool,
    /// Which peers may be relayed to at the start; `None` in older traces, whose relays denied only peers that no rule can allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_policy: Option<PeerPolicy>,
    /// Further settings by name, so that older readers keep what newer writers add.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub more: serde_json::Map<String, serde_json::Value>,
}

/// How many channels and permissions clients of one state machine may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayLimits {
    /// The channels of one allocation.
    pub channels_per_allocation: u16,
    /// The permissions of one allocation.
    pub permissions_per_allocation: u16,
    /// The channels of all allocations together.
    pub channels: u32,
    /// The permissions of all allocations together.
    pub permissions: u32,
}

/// How much one state machine relays. Each limit holds for each direction separately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayBandwidth {
    /// For one allocation.
    pub per_allocation: RelayRate,
    /// For all allocations of one user.
    pub per_user: RelayRate,
    /// For all allocations.
    pub total: RelayRate,
}

/// How much per second; `None`: any amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayRate {
    /// Bytes of application data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<NonZeroU64>,
    /// Packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packets: Option<NonZeroU64>,
}

impl TraceHeader {
    /// A header for documentation and tests: one shard at `203.0.113.1`, no secret.
    #[must_use]
    pub fn example() -> Self {
        let address = Ipv4Addr::new(203, 0, 113, 1);
        Self {
            format: format_of(1),
            software: concat!("packet-trace ", env!("CARGO_PKG_VERSION")).to_owned(),
            clock: Clock { unix_nanos: 1_700_000_000_000_000_000, monotonic_nanos: 0 },
            from_start: true,
            snapshots: false,
            payload_limit: None,
            ports_of_all_shards: None,
            shards: vec![ShardHeader {
                seed: [0; 32],
                started_nanos: 0,
                unix_seconds: 1_700_000_000,
                config: RelayConfig {
                    relay_v4: Some(address),
                    relay_v6: None,
                    own_addresses: vec![address.into()],
                    listen_port: 3478,
                    lowest_port: 49152,
                    highest_port: 65535,
                    realm: "firezone".to_owned(),
                    allocations_per_username: None,
                    quota_by_user_id: false,
                    allocations_per_prefix: None,
                    unlimited_user: None,
                    expiry_at_allocate_only: false,
                    nonce_lifetime_seconds: None,
                    reply_limit: None,
                    limits: None,
                    bandwidth: None,
                    indications: true,
                    indicated_peers: 0,
                    dont_fragment: true,
                    default_family_is_clients: false,
                    peer_policy: None,
                    more: serde_json::Map::new(),
                },
            }],
            auth_secret: None,
            accepted: None,
        }
    }
}

impl Clock {
    /// The Unix time, in nanoseconds, of the monotonic time `nanos`. Saturates.
    #[must_use]
    pub const fn to_unix(self, nanos: u64) -> u64 {
        if nanos >= self.monotonic_nanos {
            self.unix_nanos.saturating_add(nanos - self.monotonic_nanos)
        } else {
            self.unix_nanos.saturating_sub(self.monotonic_nanos - nanos)
        }
    }

    /// The monotonic time of the Unix time `unix_nanos`, in nanoseconds. Saturates.
    #[must_use]
    pub const fn to_monotonic(self, unix_nanos: u64) -> u64 {
        Self { unix_nanos: self.monotonic_nanos, monotonic_nanos: self.unix_nanos }.to_unix(unix_nanos)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Seed and secret stay out of logs.
impl fmt::Debug for TraceHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceHeader")
            .field("format", &self.format)
            .field("software", &self.software)
            .field("clock", &self.clock)
            .field("from_start", &self.from_start)
            .field("snapshots", &self.snapshots)
            .field("payload_limit", &self.payload_limit)
            .field("ports_of_all_shards", &self.ports_of_all_shards)
            .field("shards", &self.shards)
            .field("auth_secret", &self.auth_secret.as_ref().map(|_| "(hidden)"))
            .field("accepted", &self.accepted)
            .finish()
    }
}

impl fmt::Debug for ShardHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardHeader")
            .field("started_nanos", &self.started_nanos)
            .field("unix_seconds", &self.unix_seconds)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

mod hex_seed {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(seed: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(seed))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut seed = [0; 32];
        hex::decode_to_slice(&text, &mut seed).map_err(|_| D::Error::custom("a seed is 64 hexadecimal digits"))?;
        Ok(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_clocks_convert_both_ways() {
        let clock = Clock { unix_nanos: 5_000, monotonic_nanos: 1_000 };
        assert_eq!(clock.to_unix(1_500), 5_500);
        assert_eq!(clock.to_unix(500), 4_500);
        assert_eq!(clock.to_monotonic(5_500), 1_500);
        assert_eq!(clock.to_monotonic(4_500), 500);
        assert_eq!(clock.to_monotonic(0), 0);
        assert_eq!(clock.to_unix(u64::MAX), u64::MAX);
    }

    #[test]
    fn debug_output_hides_seed_and_secret() {
        let mut header = TraceHeader::example();
        header.shards[0].seed = [0xab; 32];
        header.auth_secret = Some("hunter2".to_owned());
        let text = format!("{header:?}");
        assert!(!text.contains("hunter2") && !text.contains("171"), "{text}");
    }

    #[test]
    fn settings_of_newer_writers_survive() {
        let mut value = serde_json::to_value(TraceHeader::example()).unwrap();
        value["shards"][0]["config"]["more"] = serde_json::json!({"indications": true});
        let header: TraceHeader = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(header).unwrap(), value);
    }
}
