//! All test vectors, in the host build and in the kernel: every direction, pair of address families, and reason for passing. The
//! bytes are compared with those of an independent packet builder.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use relay_ebpf::{Be16, Device, Encapsulation, Link, Reason, Settings};
use support::{
    Outcome, Runner,
    cases::{self, Case, Expected},
    generate::transaction,
    kernel::Kernel,
    model::Model,
    stun::data_indication,
};
use test_support::namespace;

/// Checks the result of one case, with checksums computed from scratch.
fn check(case: &Case, outcome: &Outcome) {
    let (mut packet, any_identification) = match &case.expected {
        Expected::Passed(reason) => {
            assert_eq!(outcome.reason, *reason, "{}", case.name);
            assert_eq!(outcome.frame, case.frame, "{}: touched", case.name);
            return;
        }
        Expected::Forwarded { packet, any_identification } => (packet.clone(), *any_identification),
    };
    assert_eq!(outcome.reason, Reason::Forwarded, "{}", case.name);
    let ip = if packet.tag.is_some() { 18 } else { 14 };
    let word = |at: usize| u16::from_be_bytes([outcome.frame[at], outcome.frame[at + 1]]);
    if packet.destination.is_ipv4() {
        if any_identification {
            packet.identification = word(ip + 4);
        }
    } else {
        packet.flow_label = u32::from(outcome.frame[ip + 1] & 0xf) << 16 | u32::from(word(ip + 2));
    }
    if case.flow.leaves_in == Encapsulation::Indication {
        // The program draws it. Only this may differ, and IPv6 addresses are combined with it.
        let drawn = transaction(&outcome.frame).unwrap();
        let data = cases::indications::data(&case.flow, &packet);
        packet.payload = data_indication(case.flow.remote, &data, drawn);
    }
    let mut expected = packet.build();
    let mut left = outcome.frame.clone();
    if case.flow.arrives_in == Encapsulation::Indication {
        // Bytes after the data are cut off, except for the minimum length of an Ethernet frame. Their value does not matter.
        assert!(left.len() <= expected.len().max(60), "{}: {} bytes", case.name, left.len());
        left.truncate(expected.len());
    } else if case.flow.leaves_in != Encapsulation::Indication && case.name.ends_with("(trailer kept)") {
        // The sender's padding after the packet is kept. In these cases, it is zeros.
        expected.resize(outcome.frame.len(), 0);
    }
    assert_eq!(left, expected, "{}", case.name);
}

#[test]
fn host_build() {
    for case in cases::all() {
        let mut model = Model::new(settings(), cases::MTU);
        model.install(&case.flow, 0xfedcb);
        model.identification = 0x1234;
        check(&case, &model.run(&case.frame));
    }
}

#[test]
fn kernel() {
    let Some(mut kernel) = Kernel::load(&cases::config()) else { return };
    namespace::ip(&format!("link set lo mtu {}", cases::MTU));
    for case in cases::all() {
        kernel.offload.install(&case.flow).unwrap();
        let outcome = kernel.run(&case.frame);
        check(&case, &outcome);
        kernel.offload.remove(&case.flow.key()).unwrap();
    }
    assert_eq!(kernel.offload.flows(), 0);
}

#[test]
fn frames_move_between_vlans() {
    let flow = cases::flow(Encapsulation::Bare, Encapsulation::Channel(0x4000), true, false);
    let device = |identifier: Option<u16>| Device {
        interface: 5,
        vlan: Be16::new(identifier.unwrap_or(0)),
        tagged: u16::from(identifier.is_some()),
    };
    // From one VLAN (or none) to another (or none). The tag's priority is kept, and the VLAN is replaced.
    for (arrives, identifier, leaves) in [
        (None, Some(0x123), Some(0x0123)),
        (Some(0xb064), Some(0x123), Some(0xb123)),
        (Some(0xb064), None, None),
        (None, None, None),
    ] {
        let mut model = Model::new(Settings { look_up_next_hop: 1, ..settings() }, cases::MTU);
        model.install(&flow, 0);
        model.next_hop = Box::new(move |_, leaving, link| {
            assert_eq!((leaving.length, leaving.hops), (40 + 8 + 4 + 9, 63));
            device(identifier).apply(4, link);
            assert_eq!((link.redirected, link.interface), (1, 5));
            Reason::Forwarded
        });
        let mut arrived = cases::arriving(&flow, b"some data");
        arrived.tag = arrives;
        let mut left = cases::leaving(&flow, &arrived, b"some data");
        left.tag = leaves;
        let outcome = model.run(&arrived.build());
        assert_eq!(
            outcome,
            Outcome { reason: Reason::Forwarded, frame: left.build() },
            "{arrives:?} to {identifier:?}"
        );
    }
    let mut link = Link::default();
    device(None).apply(5, &mut link);
    assert_eq!(link.redirected, 0, "back by the interface that it came in by");
}

#[test]
fn no_headroom_passes_the_packet() {
    let flow = cases::flow(Encapsulation::Bare, Encapsulation::Channel(0x4000), true, false);
    let frame = cases::arriving(&flow, b"data").build();
    let mut model = Model::new(settings(), cases::MTU);
    model.install(&flow, 0);
    model.headroom = 23;
    assert_eq!(model.run(&frame), Outcome { reason: Reason::NoHeadroom, frame: frame.clone() });
    model.headroom = 24;
    assert_eq!(model.run(&frame).reason, Reason::Forwarded);
}

#[test]
fn what_leaves_is_not_larger_than_ip_can_be() {
    let flow = cases::flow(Encapsulation::Bare, Encapsulation::Channel(0x4000), true, true);
    let frame = cases::arriving(&flow, &vec![1; 65535 - 28]).build();
    let mut model = Model::new(settings(), u32::MAX);
    model.install(&flow, 0);
    assert_eq!(model.run(&frame), Outcome { reason: Reason::TooLarge, frame: frame.clone() });
}

fn settings() -> Settings {
    Settings {
        listen_port: 3478,
        lowest_port: 49152,
        highest_port: 65535,
        look_up_next_hop: 0,
        statistics: 1,
        event_mask: 0,
        period: 0,
        multi_buffer: 0,
    }
}
