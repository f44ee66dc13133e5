//! Instruments of the machine, the kernel path and the process.

use crate::{
    offload,
    phase::Phase,
    portal::PortalState,
    telemetry::{
        instrument::{Instrument, Kind},
        points::{number, numbers, one_of, public_addresses},
    },
};

pub(super) const PROCESS: &[Instrument] = &[
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
        name: "ebpf_mode",
        kind: Kind::Gauge,
        unit: "{relay}",
        description: "1 for how the XDP program is attached, 0 for the others",
        attributes: &[(
            "mode",
            "`driver` (in the network driver), `generic` (in the network stack), `none`: all packets are relayed in user space",
        )],
        read: |now| one_of("mode", &["driver", "generic", "none"], now.offload.mode.unwrap_or("none")),
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
        name: "wall_clock_jumps",
        kind: Kind::Counter,
        unit: "{jump}",
        description: "How often the wall clock was set by a minute or more, or the machine was suspended: credentials are accepted by \
                      another time since",
        attributes: &[],
        read: |now| number(now.counters.wall_clock_jumps),
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
        name: "faults",
        kind: Kind::Counter,
        unit: "{fault}",
        description: "What failed in one part of the relay while the rest went on; a line of the log says what, the first time and now and then",
        attributes: &[(
            "part",
            "`allocation_socket` (it could not be opened; the client was answered 508), `http` (a connection for health, metrics or control could \
             not be accepted), `file` (credentials or rules could not be read again; the old ones stay in force), `recording` (it could not be \
             begun, or be written any further), `accounting` (an allocation is in no account: too many began at once), `collector` (it did not \
             take metrics), `worker` (it panicked, and was started again; its allocations are lost)",
        )],
        read: |now| numbers(now.faults.iter().map(|(part, count)| (vec![("part", part.name().into())], *count))),
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
