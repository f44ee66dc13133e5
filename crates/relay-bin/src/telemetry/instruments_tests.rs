//! Tests of the instruments' names and values, and that docs/metrics.md is up to date.

use std::{collections::BTreeSet, fs, net::IpAddr, path::Path, sync::Arc};

use relay_server::{AddressStatus, DropReason, ErrorCode, Method, RemovalReason};

use super::*;
use crate::{
    addresses::{AddressState, FamilyState},
    faults::Part,
    offload::OffloadCounters,
    output::Losses,
    phase::Phase,
    shard::stats::{Counters, Loss},
    telemetry::{
        instrument::Kind,
        observer::Snapshot,
        points::{Attributes, Points, message_type},
        prometheus,
    },
};

/// A snapshot in which most figures are above zero.
pub(crate) fn busy() -> Snapshot {
    let mut counters = Counters::default();
    counters.relayed_to_peer(100);
    counters.relayed_to_client(1200);
    counters.allocations_created = 3;
    counters.allocations_removed.insert(RemovalReason::RelayFailed, 1);
    counters.channels_opened = 5;
    counters.channels_closed = 1;
    counters.responses.insert((3, None), 3);
    counters.responses.insert((3, Some(ErrorCode::ALLOCATION_MISMATCH)), 1);
    counters.lose(Loss::Dropped(DropReason::NotStunNorChannelData));
    counters.lose(Loss::SendBufferFull);
    let offload = OffloadCounters {
        mode: Some("generic"),
        relayed_bytes: 77,
        packets: vec![("passed", "no_route", 5)],
        flows: 8,
        refused_flows: 2,
        flows_over_share: 3,
    };
    let public = IpAddr::from([192, 0, 2, 7]);
    let away = FamilyState { public, relay: public, source: None, local: public, status: AddressStatus::Missing };
    Snapshot {
        start_unix_nanos: 1,
        unix_nanos: 2,
        counters,
        offload,
        phase: Phase::Serving,
        portal: None,
        addresses: Arc::new(AddressState { v4: Some(away), ..AddressState::default() }),
        workers: 2,
        stuck_workers: 1,
        log_losses: Losses { queue_full: 9, write_failed: 4 },
        faults: Part::ALL.map(|part| (part, 6)),
    }
}

fn read(name: &str) -> Vec<(String, u64)> {
    let instrument = instruments().find(|instrument| instrument.name == name).unwrap();
    let Points::Numbers(points) = (instrument.read)(&busy()) else { panic!("{name} is a histogram") };
    let values =
        |attributes: &Attributes| attributes.iter().map(|(_, value)| value.as_ref()).collect::<Vec<_>>().join(" ");
    points.iter().map(|(attributes, value)| (values(attributes), *value)).collect()
}

#[test]
fn the_names_that_dashboards_depend_on() {
    for name in ["data_relayed_userspace_bytes", "data_relayed_ebpf_bytes", "active_allocations", "responses"] {
        assert!(instruments().any(|instrument| instrument.name == name), "{name}");
    }
}

#[test]
fn values() {
    assert_eq!(read("data_relayed_userspace_bytes"), [(String::new(), 1300)]);
    assert_eq!(read("data_relayed_ebpf_bytes"), [(String::new(), 77)]);
    assert_eq!(read("active_allocations"), [(String::new(), 2)]);
    assert_eq!(read("active_channels"), [(String::new(), 4)]);
    assert_eq!(read("allocations_removed"), [("relay_failed".to_owned(), 1)]);
    assert_eq!(read("responses"), [("success allocate".to_owned(), 3), ("error allocate 437".to_owned(), 1)]);
    let drops = [("not_stun_nor_channel_data".to_owned(), 1), ("send_buffer_full".to_owned(), 1)];
    assert_eq!(read("dropped_datagrams"), drops);
    assert_eq!(read("ebpf_packets"), [("passed no_route".to_owned(), 5)]);
    assert_eq!(read("ebpf_flows"), [(String::new(), 8)]);
    assert_eq!(read("ebpf_flows_refused"), [(String::new(), 2)]);
    let states = [("ipv4 present".to_owned(), 0), ("ipv4 missing".to_owned(), 1), ("ipv4 no_family".to_owned(), 0)];
    assert_eq!(read("public_address"), states);
    assert_eq!(read("workers"), [("turning".to_owned(), 1), ("stuck".to_owned(), 1)]);
    assert_eq!(read("log_lines_lost"), [("queue_full".to_owned(), 9), ("write_failed".to_owned(), 4)]);
    assert_eq!(read("faults")[0], ("allocation_socket".to_owned(), 6));
    let states = read("portal_state");
    assert_eq!(
        states.iter().filter(|(_, value)| *value == 1).map(|(state, _)| state).collect::<Vec<_>>(),
        ["standalone"]
    );
}

#[test]
fn points_have_the_attributes_that_are_documented() {
    for instrument in instruments() {
        let documented: BTreeSet<&str> = instrument.attributes.iter().map(|(name, _)| *name).collect();
        if let Points::Numbers(points) = (instrument.read)(&busy()) {
            for (name, _) in points.iter().flat_map(|(attributes, _)| attributes) {
                assert!(documented.contains(name), "{}: {name}", instrument.name);
            }
        }
    }
}

#[test]
fn methods_have_their_names() {
    for (method, name) in [
        (Method::BINDING, "binding"),
        (Method::ALLOCATE, "allocate"),
        (Method::REFRESH, "refresh"),
        (Method::CREATE_PERMISSION, "create_permission"),
        (Method::CHANNEL_BIND, "channel_bind"),
    ] {
        assert_eq!(message_type(method.number()), name);
    }
    assert_eq!(message_type(0x0fff), "0xfff");
}

const UPDATE: &str = "RELAY_UPDATE_DOCS=1 cargo test -p relay-bin docs_metrics";

fn page() -> String {
    let mut page = String::from("# Metrics\n\n<!-- Made from crates/relay-bin/src/telemetry/instruments.rs by: ");
    page += UPDATE;
    page += " -->\n\n\
        The relay sends these over OTLP (`OTLP_GRPC_ENDPOINT`; the meter is `relay`) and answers with them as Prometheus text at\n\
        `/metrics` of `HEALTH_CHECK_ADDR`. Names and attributes are an interface: they change only with a major release.\n\n\
        Counters and histograms are cumulative since the relay started. XDP relays without asking user space, so what it relays is only in\n\
        the `ebpf` ones; the traffic of a relay is the sum of both `data_relayed_` counters.\n\n\
        | OTLP name | Prometheus name | Kind | Unit | What |\n|---|---|---|---|---|\n";
    for instrument in instruments() {
        let kind = match instrument.kind {
            Kind::Counter => "counter",
            Kind::UpDownCounter => "up-down counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let mut what = instrument.description.to_owned();
        for (name, values) in instrument.attributes {
            what += &format!("<br>`{name}`: {values}");
        }
        let (name, unit, prometheus) = (instrument.name, instrument.unit, prometheus::name(instrument));
        page += &format!("| `{name}` | `{prometheus}` | {kind} | `{unit}` | {what} |\n");
    }
    page
}

#[test]
fn docs_metrics_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    if std::env::var_os("RELAY_UPDATE_DOCS").is_some() {
        fs::write(&path, page()).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page(), "docs/metrics.md differs from the table of instruments; update it by: {UPDATE}");
}
