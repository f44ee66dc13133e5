//! Converts the configuration of a state machine to the trace format.

use std::num::NonZeroU32;

use packet_trace::{RelayBandwidth, RelayConfig, RelayLimits, RelayRate};
use relay_server::{Bandwidth, Config, DefaultFamily, Limits, QuotaBy, Rate, UsernameLimit};

use super::peer_policy::recorded_policy;

pub(super) fn recorded_config(config: &Config) -> RelayConfig {
    let Config { relay_addresses, own_addresses, listen_port, ports, realm, .. } = config;
    let Config {
        username_limit,
        quota_by,
        allocations_per_prefix,
        unlimited_user,
        strict_expiry,
        nonce_lifetime,
        reply_limit,
        limits,
        bandwidth,
        ..
    } = config;
    let Config { indications, indicated_peers, dont_fragment, default_family, peer_policy, .. } = config;
    RelayConfig {
        relay_v4: relay_addresses.v4,
        relay_v6: relay_addresses.v6,
        own_addresses: own_addresses.clone(),
        listen_port: *listen_port,
        lowest_port: ports.lowest(),
        highest_port: ports.highest(),
        realm: realm.clone(),
        allocations_per_username: match username_limit {
            UsernameLimit::ReplaceOldest => None,
            UsernameLimit::RefuseBeyond(limit) => Some(*limit),
        },
        quota_by_user_id: *quota_by == QuotaBy::UserId,
        allocations_per_prefix: allocations_per_prefix.map(NonZeroU32::get),
        unlimited_user: unlimited_user.as_deref().map(str::to_owned),
        expiry_at_allocate_only: !strict_expiry,
        nonce_lifetime_seconds: Some(nonce_lifetime.as_secs()),
        reply_limit: reply_limit.map(NonZeroU32::get),
        limits: Some(recorded_limits(*limits)),
        bandwidth: bandwidth.is_limited().then(|| recorded_bandwidth(*bandwidth)),
        indications: *indications,
        indicated_peers: *indicated_peers,
        dont_fragment: *dont_fragment,
        default_family_is_clients: *default_family == DefaultFamily::Client,
        peer_policy: Some(recorded_policy(peer_policy)),
        more: serde_json::Map::new(),
    }
}

const fn recorded_limits(limits: Limits) -> RelayLimits {
    let Limits { channels_per_allocation, permissions_per_allocation, channels, permissions } = limits;
    RelayLimits { channels_per_allocation, permissions_per_allocation, channels, permissions }
}

fn recorded_bandwidth(bandwidth: Bandwidth) -> RelayBandwidth {
    let Bandwidth { per_allocation, per_user, total } = bandwidth;
    let [per_allocation, per_user, total] =
        [per_allocation, per_user, total].map(|Rate { bytes, packets }| RelayRate { bytes, packets });
    RelayBandwidth { per_allocation, per_user, total }
}
