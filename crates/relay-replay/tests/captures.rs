//! Captures of another TURN server, without anything of this project in them.
#![allow(clippy::unwrap_used, reason = "tests")]

use relay_replay::{Mode, NotReplayed, Role, Row, Session};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn a_session_of_coturn_is_understood() {
    let mut session = Session::new();
    session.push(include_bytes!("../../packet-trace/tests/captures/linux-sll2.pcap"));
    session.end();
    assert_eq!(session.mode(), Mode::Inspection(NotReplayed::NoHeader));
    assert_eq!((session.error(), session.rows().len()), (None, 40));

    // The last two packets delete the allocation.
    let view = session.view_at(37);
    assert_eq!(view.allocations.len() - 1, session.view_at(39).allocations.len());
    let channels: Vec<_> = view
        .allocations
        .values()
        .flat_map(|allocation| allocation.channels.iter().map(|(n, c)| (*n, c.peer.port())))
        .collect();
    assert_eq!(channels, [(0x6780, 34790), (0x7294, 34791)]);
    assert_eq!((view.counters.packets_up, view.counters.packets_down), (3, 3));
    assert_eq!(view.counters.errors.get(&401), Some(&2));

    let role = |port: u16| session.endpoints().iter().find(|endpoint| endpoint.address.port() == port).unwrap().role;
    assert_eq!((role(34780), role(34790), role(60381)), (Role::Relay, Role::Peer, Role::Relayed));
    for row in session.filter(&"response|data".parse().unwrap()) {
        assert_ne!(session.rows()[usize::try_from(row).unwrap()].related, Row::NONE, "row {row} has no counterpart");
    }
}

/// Captured from `turnutils_uclient -s` with `tcpdump -s 190`: the end of each Data indication is missing.
#[test]
fn indications_of_coturn_s_client_are_understood_though_they_are_cut() {
    let mut session = Session::new();
    session.push(include_bytes!("captures/coturn-send-indications.pcap"));
    session.end();
    assert_eq!(session.mode(), Mode::Inspection(NotReplayed::NoHeader));
    let select = |filter: &str| session.filter(&filter.parse().unwrap());
    let view = session.view_at(u32::try_from(session.rows().len() - 1).unwrap());
    assert_eq!((view.counters.packets_up, view.counters.packets_down), (6, 6));
    assert_eq!((view.counters.bytes_up, view.counters.bytes_down), (600, 600));
    assert_eq!((select("send").len(), select("dataindication").len(), select("dropped").len()), (6, 6, 0));
    for row in select("send|dataindication") {
        assert_ne!(session.rows()[usize::try_from(row).unwrap()].related, Row::NONE, "row {row} has no counterpart");
    }
    let before = session.view_before(select("send")[0]);
    // The client has one more allocation, which it does not use.
    let has_permission = before.allocations.values().filter(|allocation| !allocation.permissions.is_empty());
    assert_eq!(has_permission.count(), 2);
}
