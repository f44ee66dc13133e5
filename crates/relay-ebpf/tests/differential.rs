//! Random packets over random flows: the kernel build and the host build give the same results and bytes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use relay_ebpf::{Config, Flow, Reason, Settings};
use support::{
    Random, Runner,
    cases::{self, MTU},
    generate::{drawn, identification, random_flow, random_frame, take_flow_label},
    kernel::Kernel,
    model::Model,
    seed,
};
use test_support::namespace;

/// The number of packets, over all configurations.
const PACKETS: usize = 120_000;

#[test]
fn kernel_and_host_build_agree() {
    let configurations = [
        cases::config(),
        Config { listen_port: 443, allocation_ports: 1024..=65535, ..cases::config() },
        Config { listen_port: 50_000, allocation_ports: 49_990..=50_010, ..cases::config() },
    ];
    let seed = seed();
    let mut random = Random(seed);
    let mut seen = BTreeMap::<Reason, usize>::new();
    for config in &configurations {
        let Some(mut kernel) = Kernel::load(config) else { return };
        namespace::ip(&format!("link set lo mtu {MTU}"));
        let mut model = Model::new(settings(config), MTU);
        let flows: Vec<Flow> = (0..24).map(|_| random_flow(&mut random, config)).collect();
        // Flows with equal keys replace each other, both in the kernel and in the model.
        for flow in &flows {
            kernel.offload.install(flow).unwrap();
            model.install(flow, 0);
        }
        let mut labels = BTreeMap::new();
        for number in 0..PACKETS / configurations.len() {
            let flow = random.pick(&flows);
            let frame = random_frame(&mut random, &flow);
            let mut real = kernel.run(&frame);
            // The model takes random values from the kernel's packet.
            model.identification = identification(&real.frame);
            model.random = drawn(&real.frame);
            let modelled = model.run(&frame);
            if real.reason == Reason::Forwarded
                && let Some((flow, label)) = take_flow_label(&mut real.frame)
            {
                assert_eq!(*labels.entry(flow).or_insert(label), label, "a flow has one label");
            }
            assert_eq!(
                real, modelled,
                "packet {number} of {config:?}; again with RELAY_TESTS_SEED={seed} cargo test -p relay-ebpf --test differential"
            );
            *seen.entry(real.reason).or_default() += 1;
        }
        let different: BTreeSet<_> = labels.values().collect();
        assert!(different.len() > 1, "all flows share one label");
    }
    eprintln!("{PACKETS} packets: {seen:?}");
    // The generator must reach every reason but these.
    let unreachable = [
        Reason::NoNeighbour,
        Reason::NoNextHop,
        Reason::ForwardingOff,
        Reason::OtherInterface,
        Reason::NoHeadroom,
        Reason::NoTailroom,
        Reason::MultiBuffer,
        Reason::Aborted,
    ];
    for reason in Reason::ALL.iter().filter(|reason| !unreachable.contains(reason)) {
        assert!(seen.get(reason).is_some_and(|count| *count >= 20), "{reason:?}: {seen:?}");
    }
    assert!(seen[&Reason::Forwarded] > PACKETS / 5, "{seen:?}");
}

fn settings(config: &Config) -> Settings {
    Settings {
        listen_port: config.listen_port,
        lowest_port: *config.allocation_ports.start(),
        highest_port: *config.allocation_ports.end(),
        look_up_next_hop: 0,
        statistics: 1,
        event_mask: 0,
        period: 0,
        multi_buffer: 0,
    }
}
