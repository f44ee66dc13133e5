//! Instruments of relayed and refused traffic.

use crate::{
    shard::stats,
    telemetry::{
        instrument::{Instrument, Kind},
        points::{Distribution, Points, by_key, by_name, number, numbers, responses},
    },
};

/// The attribute for why peers are refused: the names of `PeerForbidden`.
const PEER_REASON: (&str, &str) = (
    "reason",
    "`rule` (one of --deny-peer), `own_listener`, `own_machine`, the use of an address range such as `private`, `loopback`, \
     `cloud_metadata`, `link_local`, or what nothing allows: `multicast`, `broadcast`, `unspecified`, `ipv4_mapped`, `tunnel`, \
     `port_zero`",
);

pub(super) const RELAYING: &[Instrument] = &[
    Instrument {
        name: "data_relayed_userspace_bytes",
        kind: Kind::Counter,
        unit: "By",
        description: "Application data relayed through the sockets, in both directions; ChannelData headers do not count",
        attributes: &[],
        read: |now| number(now.counters.to_peers.bytes + now.counters.to_clients.bytes),
    },
    Instrument {
        name: "data_relayed_ebpf_bytes",
        kind: Kind::Counter,
        unit: "By",
        description: "Application data relayed in the kernel by XDP, in both directions; ChannelData headers do not count",
        attributes: &[],
        read: |now| number(now.offload.relayed_bytes),
    },
    Instrument {
        name: "relayed_packets",
        kind: Kind::Counter,
        unit: "{packet}",
        description: "Packets relayed through the sockets",
        attributes: &[("direction", "`to_peer`, `to_client`")],
        read: |now| {
            let counters = &now.counters;
            numbers([
                (vec![("direction", "to_peer".into())], counters.to_peers.packets),
                (vec![("direction", "to_client".into())], counters.to_clients.packets),
            ])
        },
    },
    Instrument {
        name: "relayed_packet_size",
        kind: Kind::Histogram,
        unit: "By",
        description: "Application data in each packet relayed through the sockets",
        attributes: &[],
        read: |now| {
            let counters = &now.counters;
            Points::Histogram(Distribution {
                bounds: stats::size_bounds().map(|bound| u64::try_from(bound).unwrap_or(u64::MAX)).to_vec(),
                counts: counters.sizes.to_vec(),
                sum: counters.to_peers.bytes + counters.to_clients.bytes,
            })
        },
    },
    Instrument {
        name: "active_allocations",
        kind: Kind::UpDownCounter,
        unit: "{allocation}",
        description: "Allocations that live",
        attributes: &[],
        read: |now| number(now.counters.allocations()),
    },
    Instrument {
        name: "active_channels",
        kind: Kind::UpDownCounter,
        unit: "{channel}",
        description: "Channels that relay",
        attributes: &[],
        read: |now| number(now.counters.channels()),
    },
    Instrument {
        name: "active_permissions",
        kind: Kind::UpDownCounter,
        unit: "{permission}",
        description: "Permissions for the addresses of peers",
        attributes: &[],
        read: |now| number(now.counters.permissions()),
    },
    Instrument {
        name: "allocations_created",
        kind: Kind::Counter,
        unit: "{allocation}",
        description: "Allocations granted",
        attributes: &[],
        read: |now| number(now.counters.allocations_created),
    },
    Instrument {
        name: "allocations_removed",
        kind: Kind::Counter,
        unit: "{allocation}",
        description: "Allocations that ended",
        attributes: &[(
            "reason",
            "`expired`, `deleted` (by its client), `replaced` (its username allocated again), `relay_failed` (its socket, or its worker)",
        )],
        read: |now| by_name("reason", &now.counters.allocations_removed),
    },
    Instrument {
        name: "channels_bound",
        kind: Kind::Counter,
        unit: "{channel}",
        description: "Channels that began to relay: new ones, and lapsed ones bound again",
        attributes: &[],
        read: |now| number(now.counters.channels_opened),
    },
    Instrument {
        name: "responses",
        kind: Kind::Counter,
        unit: "{response}",
        description: "STUN responses",
        attributes: &[
            ("response_class", "`success`, `error`"),
            ("message_type", "`binding`, `allocate`, `refresh`, `channel_bind`, `create_permission`"),
            ("error_code", "such as `401`; successes have none"),
        ],
        read: responses,
    },
    Instrument {
        name: "requests_over_limit",
        kind: Kind::Counter,
        unit: "{request}",
        description: "Requests refused because of a limit; `responses` has them, too",
        attributes: &[(
            "limit",
            "`allocations_per_username` and `allocations_per_prefix` (486), and with 508: `ports`, `channels_per_allocation`, `permissions_per_allocation`, \
             `max_channels`, `max_permissions`",
        )],
        read: |now| by_name("limit", &now.counters.over_limit),
    },
    Instrument {
        name: "dropped_datagrams",
        kind: Kind::Counter,
        unit: "{packet}",
        description: "Datagrams that were neither relayed nor answered",
        attributes: &[(
            "reason",
            "what was wrong with it, such as `no_channel`, `no_permission`, `unknown_peer`, `not_stun_nor_channel_data`, `send_indication`, or with \
             sending it: `send_buffer_full`, `send_failed`, `no_socket`, `no_destination`, or `worker_panicked` (it waited for something then), or that it was not answered: \
             `reply_limit`, or that it was over a limit on bandwidth: `allocation_bandwidth`, `user_bandwidth`, `total_bandwidth`",
        )],
        read: |now| by_name("reason", &now.counters.losses),
    },
    Instrument {
        name: "withheld_replies",
        kind: Kind::Counter,
        unit: "{packet}",
        description: "Requests without credentials that were not answered because their address or prefix has had as many replies as \
                      --reply-limit allows; `dropped_datagrams` has them, too, as `reply_limit`",
        attributes: &[(
            "kind",
            "`binding` (a Binding request), `challenge` (a request that would have been challenged)",
        )],
        read: |now| by_name("kind", &now.counters.withheld_replies),
    },
    Instrument {
        name: "peers_refused",
        kind: Kind::Counter,
        unit: "{request}",
        description: "Requests for a permission or a channel that were answered 403 since their peer may not be relayed to; \
                      `firezone-relay check-peer` says more",
        attributes: &[PEER_REASON],
        read: |now| by_key("reason", &now.counters.peers_refused, |reason| reason),
    },
    Instrument {
        name: "peers_revoked",
        kind: Kind::Counter,
        unit: "{peer}",
        description: "Permissions and channels that ended since their peers are not allowed any more",
        attributes: &[PEER_REASON],
        read: |now| by_key("reason", &now.counters.peers_revoked, |reason| reason),
    },
];
