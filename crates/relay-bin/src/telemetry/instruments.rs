//! The table of instruments: OTLP, Prometheus and docs/metrics.md are made from it. Names are an interface: dashboards and
//! alerts depend on them.

use relay_server::ReplyKind;

use super::{
    observer::Snapshot,
    points::{Distribution, Points, by_key, number, numbers, one_of, public_addresses, responses},
};
use crate::{
    offload,
    phase::Phase,
    portal::PortalState,
    shard::stats::{self, Loss},
};

/// What kind of figure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only ever grows while the relay runs.
    Counter,
    /// Goes up and down; sums over relays make sense.
    UpDownCounter,
    /// A state; sums make no sense.
    Gauge,
    /// How many values fell into which range.
    Histogram,
}

/// One figure that the relay tells.
pub(super) struct Instrument {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// As UCUM writes it: `By` for bytes, `{packet}` for packets. Not `1`, of which collectors make a suffix `_ratio`.
    pub(super) unit: &'static str,
    pub(super) description: &'static str,
    /// The attributes of its points, and what values they have.
    #[cfg_attr(not(test), expect(dead_code, reason = "for docs/metrics.md, which a test compares"))]
    pub(super) attributes: &'static [(&'static str, &'static str)],
    pub(super) read: fn(&Snapshot) -> Points,
}

/// Why peers are refused: the names of `PeerForbidden`.
const PEER_REASON: (&str, &str) = (
    "reason",
    "`rule` (one of --deny-peer), `own_listener`, `own_machine`, the use of an address range such as `private`, `loopback`, \
     `cloud_metadata`, `link_local`, or what nothing allows: `multicast`, `broadcast`, `unspecified`, `ipv4_mapped`, `tunnel`, \
     `port_zero`",
);

/// Every instrument.
pub(super) const INSTRUMENTS: &[Instrument] = &[
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
            "`expired`, `deleted` (by its client), `replaced` (its username allocated again), `relay_failed` (its socket)",
        )],
        read: |now| {
            let removed = &now.counters.allocations_removed;
            by_key("reason", removed.iter().map(|(reason, count)| (format!("{reason:?}"), *count)))
        },
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
            "`allocations_per_username` (486), and with 508: `ports`, `channels_per_allocation`, `permissions_per_allocation`, \
             `max_channels`, `max_permissions`",
        )],
        read: |now| {
            let point = |(limit, count): (&&'static str, &u64)| (vec![("limit", (*limit).into())], *count);
            numbers(now.counters.over_limit.iter().map(point))
        },
    },
    Instrument {
        name: "dropped_datagrams",
        kind: Kind::Counter,
        unit: "{packet}",
        description: "Datagrams that were neither relayed nor answered",
        attributes: &[(
            "reason",
            "what was wrong with it, such as `no_channel`, `no_permission`, `unknown_peer`, `not_stun_nor_channel_data`, `send_indication`, or with \
             sending it: `send_buffer_full`, `send_failed`, `no_socket`, `no_destination`, or that it was not answered: \
             `reply_limit`, or that it was over a limit on bandwidth: `allocation_bandwidth`, `user_bandwidth`, `total_bandwidth`",
        )],
        read: |now| {
            let name = |loss: &Loss| loss.to_string();
            by_key("reason", now.counters.losses.iter().map(|(loss, count)| (name(loss), *count)))
        },
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
        read: |now| {
            let name = |kind: &ReplyKind| format!("{kind:?}");
            by_key("kind", now.counters.withheld_replies.iter().map(|(kind, count)| (name(kind), *count)))
        },
    },
    Instrument {
        name: "peers_refused",
        kind: Kind::Counter,
        unit: "{request}",
        description: "Requests for a permission or a channel that were answered 403 since their peer may not be relayed to; \
                      `firezone-relay check-peer` says more",
        attributes: &[PEER_REASON],
        read: |now| {
            by_key("reason", now.counters.peers_refused.iter().map(|(reason, count)| ((*reason).to_owned(), *count)))
        },
    },
    Instrument {
        name: "peers_revoked",
        kind: Kind::Counter,
        unit: "{peer}",
        description: "Permissions and channels that ended since their peers are not allowed any more",
        attributes: &[PEER_REASON],
        read: |now| {
            by_key("reason", now.counters.peers_revoked.iter().map(|(reason, count)| ((*reason).to_owned(), *count)))
        },
    },
    Instrument {
        name: "receive_overruns",
        kind: Kind::Counter,
        unit: "{packet}",
        description: "Datagrams that the kernel dropped at the relay's sockets since they came faster than they were read: raise \
                      net.core.rmem_max, or give the relay more cores",
        attributes: &[],
        read: |now| number(now.counters.receive_overruns),
    },
    Instrument {
        name: "receive_errors",
        kind: Kind::Counter,
        unit: "{error}",
        description: "Receive calls that failed; nothing is lost by them. ICMP errors that peers cause are not among them",
        attributes: &[],
        read: |now| number(now.counters.receive_errors),
    },
    Instrument {
        name: "icmp_errors_told",
        kind: Kind::Counter,
        unit: "{error}",
        description: "ICMP errors about relayed datagrams that clients were told of in Data indications",
        attributes: &[],
        read: |now| number(now.counters.icmp_told),
    },
    Instrument {
        name: "ebpf_packets",
        kind: Kind::Counter,
        unit: "{packet}",
        description: "Packets to the relay that the XDP program saw, and what became of them",
        attributes: &[
            ("verdict", "`forwarded`, `passed` (to the sockets), `dropped`"),
            ("reason", "why, such as `no_route` or `fragment`"),
        ],
        read: |now| {
            let point = |(verdict, reason, count): &(&'static str, &'static str, u64)| {
                (vec![("verdict", (*verdict).into()), ("reason", (*reason).into())], *count)
            };
            numbers(now.offload.packets.iter().map(point))
        },
    },
    Instrument {
        name: "ebpf_flows",
        kind: Kind::UpDownCounter,
        unit: "{flow}",
        description: "Flows that the kernel forwards by XDP: two for each channel",
        attributes: &[],
        read: |now| number(now.offload.flows),
    },
    Instrument {
        name: "ebpf_flows_refused",
        kind: Kind::Counter,
        unit: "{flow}",
        description: "Flows that the kernel did not take, so that they are relayed through the sockets: raise EBPF_MAX_FLOWS",
        attributes: &[],
        read: |now| number(now.offload.refused_flows),
    },
    Instrument {
        name: "ebpf_flows_over_share",
        kind: Kind::Counter,
        unit: "{flow}",
        description: "Flows that stay in user space because their allocation has as many as EBPF_CHANNELS_PER_ALLOCATION allows",
        attributes: &[],
        read: |now| number(now.offload.flows_over_share),
    },
    Instrument {
        name: "portal_state",
        kind: Kind::Gauge,
        unit: "{relay}",
        description: "1 for the state that the relay is in with its portal, 0 for the others",
        attributes: &[(
            "state",
            "`registered`, `registering` (it does not serve yet), `partitioned` (out of reach; relaying goes on), `standalone`",
        )],
        read: |now| {
            let state = match now.portal {
                None => "standalone",
                Some(PortalState::Registering) => "registering",
                Some(PortalState::Registered) => "registered",
                Some(PortalState::Partitioned) => "partitioned",
            };
            one_of("state", &["registered", "registering", "partitioned", "standalone"], state)
        },
    },
    Instrument {
        name: "phase",
        kind: Kind::Gauge,
        unit: "{relay}",
        description: "1 for the phase that the relay is in, 0 for the others",
        attributes: &[("phase", "`starting`, `serving`, `draining`, `stopping`")],
        read: |now| {
            let phase = match now.phase {
                Phase::Starting => "starting",
                Phase::Serving => "serving",
                Phase::Draining => "draining",
                Phase::Stopping => "stopping",
            };
            one_of("phase", &["starting", "serving", "draining", "stopping"], phase)
        },
    },
    Instrument {
        name: "public_address",
        kind: Kind::Gauge,
        unit: "{address}",
        description: "1 for the state that the relay's public address of a family is in, 0 for the others; none for a family that \
                      is not configured",
        attributes: &[
            ("network_type", "`ipv4`, `ipv6`"),
            (
                "state",
                "`present`, `missing` (allocations are refused with 508), `no_family` (the machine has no address of that \
                 family: 440)",
            ),
        ],
        read: public_addresses,
    },
    Instrument {
        name: "workers",
        kind: Kind::UpDownCounter,
        unit: "{thread}",
        description: "Threads that relay",
        attributes: &[("state", "`turning`, `stuck`")],
        read: |now| {
            let turning = now.workers.saturating_sub(now.stuck_workers);
            numbers([
                (vec![("state", "turning".into())], turning),
                (vec![("state", "stuck".into())], now.stuck_workers),
            ])
        },
    },
    Instrument {
        name: "log_lines_lost",
        kind: Kind::Counter,
        unit: "{line}",
        description: "Lines of the log that were not written, since nobody waits for them",
        attributes: &[(
            "reason",
            "`queue_full` (what reads stderr is too slow, or does not read), `write_failed` (it was closed, or the disk is full)",
        )],
        read: |now| {
            numbers([
                (vec![("reason", "queue_full".into())], now.log_losses.queue_full),
                (vec![("reason", "write_failed".into())], now.log_losses.write_failed),
            ])
        },
    },
    Instrument {
        name: "build_info",
        kind: Kind::Gauge,
        unit: "{relay}",
        description: "Always 1; its attributes say which relay this is",
        attributes: &[
            ("version", "the release"),
            ("revision", "of the source"),
            ("xdp", "`true`, `false`: whether XDP is in"),
        ],
        read: |_| {
            let attributes = vec![
                ("version", env!("CARGO_PKG_VERSION").into()),
                ("revision", env!("RELAY_REVISION").into()),
                ("xdp", if offload::xdp().is_ok() { "true" } else { "false" }.into()),
            ];
            numbers([(attributes, 1)])
        },
    },
];

#[cfg(test)]
#[path = "instruments_tests.rs"]
pub(super) mod tests;
