//! Converts a recorded configuration to that of the state machine.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use relay_server::{
    Bandwidth, Config, DefaultFamily, Limits, PeerPolicy, PortRange, QuotaBy, Rate, RelayAddresses, UsernameLimit,
};

use crate::peer_policy;

/// The ports of a shard, which may have none.
fn ports(lowest: u16, highest: u16) -> Result<PortRange, String> {
    if (lowest, highest) == (PortRange::EMPTY.lowest(), PortRange::EMPTY.highest()) {
        return Ok(PortRange::EMPTY);
    }
    PortRange::new(lowest, highest).map_err(|error| error.to_string())
}

const fn limits(limits: packet_trace::RelayLimits) -> Limits {
    let packet_trace::RelayLimits { channels_per_allocation, permissions_per_allocation, channels, permissions } =
        limits;
    Limits { channels_per_allocation, permissions_per_allocation, channels, permissions }
}

fn bandwidth(bandwidth: packet_trace::RelayBandwidth) -> Bandwidth {
    let packet_trace::RelayBandwidth { per_allocation, per_user, total } = bandwidth;
    let [per_allocation, per_user, total] =
        [per_allocation, per_user, total].map(|packet_trace::RelayRate { bytes, packets }| Rate { bytes, packets });
    Bandwidth { per_allocation, per_user, total }
}

pub(super) fn config(config: &packet_trace::RelayConfig) -> Result<Config, String> {
    Ok(Config {
        relay_addresses: RelayAddresses { v4: config.relay_v4, v6: config.relay_v6 },
        own_addresses: config.own_addresses.clone(),
        listen_port: config.listen_port,
        ports: ports(config.lowest_port, config.highest_port)?,
        realm: config.realm.clone(),
        username_limit: match config.allocations_per_username {
            None => UsernameLimit::ReplaceOldest,
            Some(limit) => UsernameLimit::RefuseBeyond(limit),
        },
        quota_by: if config.quota_by_user_id { QuotaBy::UserId } else { QuotaBy::Username },
        allocations_per_prefix: config.allocations_per_prefix.and_then(NonZeroU32::new),
        unlimited_user: config.unlimited_user.as_deref().map(Arc::from),
        strict_expiry: !config.expiry_at_allocate_only,
        nonce_lifetime: config.nonce_lifetime_seconds.map_or(relay_server::DEFAULT_NONCE_LIFETIME, Duration::from_secs),
        reply_limit: config.reply_limit.and_then(NonZeroU32::new),
        limits: config.limits.map_or_else(Limits::default, limits),
        bandwidth: config.bandwidth.map_or_else(Bandwidth::default, bandwidth),
        indications: config.indications,
        indicated_peers: config.indicated_peers,
        dont_fragment: config.dont_fragment,
        peer_policy: match &config.peer_policy {
            Some(recorded) => peer_policy::read(recorded)?,
            None => PeerPolicy::unrestricted().into(),
        },
        default_family: if config.default_family_is_clients { DefaultFamily::Client } else { DefaultFamily::V4 },
    })
}
