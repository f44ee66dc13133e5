//! `EBPF_OFFLOADING=auto`: the relay chooses interfaces and mode.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod xdp_net;

use test_support::{
    namespace::run,
    relay::{Relay, allocate_and_bind},
};
use xdp_net::{
    INTERFACE, LISTEN_PORT, Mode, Net, PEER, RELAY, V4, address,
    peer::{Peer, exchange},
    relay_command,
    summary::Summary,
};

const AUTO: [&str; 2] = ["--ebpf-offloading", "auto"];
const CHANNEL: u16 = 0x4000;

fn start(net: &Net, port: u16, options: &[&str]) -> Relay {
    let mut command = relay_command(RELAY[V4], &[&AUTO, options].concat());
    net.relay.within(move || Relay::spawn(&mut command, port))
}

/// The log line with the choice.
fn choice(log: &str) -> &str {
    let mut lines =
        log.lines().filter(|line| line.contains("offloading to XDP") || line.contains("relaying in user space"));
    let line = lines.next().expect("a line that says what was chosen");
    assert_eq!(lines.next(), None, "{log}");
    line
}

#[test]
fn the_driver_comes_first() {
    let Some(net) = Net::new(Mode::Driver) else { return };
    let relay = start(&net, LISTEN_PORT, &[]);
    assert!(net.has_program());
    let peer = Peer::start(&net.peer, address(PEER[V4], 9));
    let mut client = net.client(V4, "a");
    allocate_and_bind(&mut client, CHANNEL, peer.address);
    exchange(&mut client, CHANNEL, 0..100);
    let log = relay.stop().log;
    let chosen = choice(&log);
    assert!(chosen.contains("mode=Driver") && chosen.contains("found by itself"), "{chosen}");
    assert!(chosen.contains(&format!("interfaces=\"{INTERFACE}\"")), "{chosen}");
    assert!(Summary::of(&log).in_kernel().packets > 0, "{log}");
    assert!(!net.has_program());
}

/// The driver of veth refuses a program if the other end has more transmit queues than this one has receive queues.
#[test]
fn the_network_stack_comes_second_and_the_line_says_why() {
    let Some(net) = Net::new(Mode::Generic) else { return };
    net.router.within(|| run("ethtool", "-L relay tx 2"));
    let relay = start(&net, LISTEN_PORT, &[]);
    assert!(net.has_program());
    let log = relay.stop().log;
    let chosen = choice(&log);
    assert!(chosen.contains("mode=Generic") && chosen.contains("driver mode: "), "{chosen}");
}

#[test]
fn user_space_comes_last_and_relays() {
    let Some(net) = Net::new(Mode::Driver) else { return };
    // This relay takes the only interface.
    let first = net.start_relay(Mode::Driver, &["--health-check-addr", "off", "--control-endpoint", "off"]);
    let ports = ["--listen-port", "3479", "--lowest-port", "40000", "--highest-port", "40099"];
    let options = [&ports[..], &["--health-check-addr", "off", "--control-endpoint", "off"]].concat();
    let relay = start(&net, 3479, &options);
    let log = relay.stop().log;
    let chosen = choice(&log);
    assert!(chosen.contains("relaying in user space"), "{chosen}");
    assert!(chosen.contains("another XDP program is attached") && chosen.contains("doctor"), "{chosen}");
    assert!(net.has_program(), "the other relay's");
    assert!(first.stop().status.success());
}

/// This needs no privilege and no namespace.
#[test]
fn a_relay_on_loopback_has_no_interface_to_ask_for() {
    let relay = Relay::start(&AUTO);
    let log = relay.stop().log;
    assert!(choice(&log).contains("no interface leads to other machines"), "{log}");
}
