//! A relay that finds out by itself how the kernel can relay, as it does when nothing is said: `EBPF_OFFLOADING=auto`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod xdp_net;

use std::process::{Command, Stdio};

use test_support::{
    capability::{available, can, runs},
    namespace::{Namespace, ip},
    relay::{Relay, SECRET, allocate_and_bind, command},
};
use turn_client::BlockingClient;
use xdp_net::{
    INTERFACE, LISTEN_PORT, Mode, Net, PEER, RELAY, V4, address,
    peer::{Peer, exchange},
    relay_command,
    summary::Summary,
};

const CHANNEL: u16 = 0x4000;

/// Where a second relay of the same machine is.
const OTHER_PORT: u16 = 3479;
const OTHER_PORTS: [&str; 6] = ["--listen-port", "3479", "--lowest-port", "40000", "--highest-port", "40099"];

/// Starts a relay that is told nothing of the kernel but these options.
fn start(net: &Net, port: u16, options: &[&str]) -> Relay {
    let mut command = relay_command(RELAY[V4], options);
    command.env_remove("EBPF_OFFLOADING");
    net.relay.within(move || Relay::spawn(&mut command, port))
}

/// The same without a network around it.
fn alone(options: &[&str]) -> Command {
    let mut command = command(["--auth-secret", SECRET, "--public-ip4-addr", RELAY[V4]]);
    command.args(options).env_remove("EBPF_OFFLOADING");
    command
}

/// A network namespace with nothing but this interface, which leads everywhere. `None`, after saying why, where that cannot be done:
/// for want of namespaces, or of this `kind` of interface, such as `link add eth0 type bridge` makes.
fn machine(kind: &str, make: &'static str) -> Option<Namespace> {
    let namespace = available("netns", Namespace::new())?;
    let made = namespace.within(move || runs("ip", make.split(' ')));
    if !can(kind, made, format!("there is no {kind} here")) {
        return None;
    }
    namespace.within(|| {
        ip(&format!("addr add {}/24 dev {INTERFACE}", RELAY[V4]));
        ip(&format!("link set {INTERFACE} up"));
        ip("route add default via 10.2.0.254");
    });
    Some(namespace)
}

/// Relays some packets through the relay at `port`.
fn relays(net: &Net, port: u16) {
    let peer = Peer::start(&net.peer, address(PEER[V4], 0));
    let mut client: BlockingClient = net.client_at(address(RELAY[V4], port), "a");
    allocate_and_bind(&mut client, CHANNEL, peer.address);
    exchange(&mut client, CHANNEL, 0..300);
    assert_eq!(peer.end(&mut client, CHANNEL).len(), 300);
}

/// The one line that says what was chosen.
fn choice(log: &str) -> &str {
    let mut lines =
        log.lines().filter(|line| line.contains("offloading to XDP") || line.contains("relaying in user space"));
    let line = lines.next().expect("a line that says what was chosen");
    assert_eq!(lines.next(), None, "{log}");
    assert!(line.contains(" INFO "), "{line}");
    line
}

/// As in a container: the other end of its veth pair has no program, and loses what a program in the driver sends.
#[test]
fn the_network_stack_relays_where_the_driver_would_lose_packets() {
    let Some(net) = Net::new(Mode::Generic) else { return };
    let relay = start(&net, LISTEN_PORT, &[]);
    assert!(net.has_program());
    relays(&net, LISTEN_PORT);
    let log = relay.stop().log;
    let chosen = choice(&log);
    assert!(chosen.contains("mode=Generic") && chosen.contains("eth0 is a veth"), "{chosen}");
    assert!(chosen.contains(&format!("interfaces=\"{INTERFACE}\"")), "{chosen}");
    assert!(Summary::of(&log).in_kernel().packets > 0, "{log}");
    assert!(!net.has_program());
}

#[test]
fn the_driver_relays_where_it_is_asked_for() {
    let Some(net) = Net::new(Mode::Driver) else { return };
    let relay = start(&net, LISTEN_PORT, &["--ebpf-offloading", "auto", "--ebpf-attach-mode", "driver"]);
    relays(&net, LISTEN_PORT);
    let log = relay.stop().log;
    let chosen = choice(&log);
    assert!(chosen.contains("mode=Driver") && chosen.contains("found by itself"), "{chosen}");
    assert!(Summary::of(&log).in_kernel().packets > 0, "{log}");
}

#[test]
fn the_driver_comes_first_and_tunnels_are_left_alone() {
    // Whether programs can be loaded here.
    if Net::new(Mode::Generic).is_none() {
        return;
    }
    let Some(machine) = machine("tap", "tuntap add eth0 mode tap") else { return };
    let relay = machine.within(|| {
        ip("tuntap add tunnel mode tun");
        ip("link set tunnel up");
        ip("route add default dev tunnel metric 9");
        Relay::spawn(&mut alone(&[]), LISTEN_PORT)
    });
    let log = relay.stop().log;
    let chosen = choice(&log);
    assert!(chosen.contains("mode=Driver") && chosen.contains("found by itself"), "{chosen}");
    assert!(chosen.contains(&format!("interfaces=\"{INTERFACE}\"")), "{chosen}");
}

/// A bridge has no driver.
#[test]
fn the_network_stack_comes_second_and_the_line_says_why() {
    if Net::new(Mode::Generic).is_none() {
        return;
    }
    let Some(machine) = machine("bridge", "link add eth0 type bridge") else { return };
    let relay = machine.within(|| Relay::spawn(&mut alone(&[]), LISTEN_PORT));
    let log = relay.stop().log;
    let chosen = choice(&log);
    assert!(chosen.contains("mode=Generic") && chosen.contains("driver mode: eth0 does not take"), "{chosen}");
}

#[test]
fn a_second_relay_on_the_interface_relays_in_user_space() {
    let Some(net) = Net::new(Mode::Generic) else { return };
    let first = start(&net, LISTEN_PORT, &[]);
    let second = start(&net, OTHER_PORT, &OTHER_PORTS);
    relays(&net, OTHER_PORT);
    relays(&net, LISTEN_PORT);
    let log = second.stop().log;
    let chosen = choice(&log);
    assert!(chosen.contains("relaying in user space"), "{chosen}");
    assert!(chosen.contains("another XDP program is attached") && chosen.contains("doctor"), "{chosen}");
    assert!(Summary::of(&log).in_user_space().packets >= 600, "{log}");
    assert!(net.has_program(), "the first relay's");
    let log = first.stop().log;
    assert!(Summary::of(&log).in_kernel().packets > 0, "{log}");
}

/// The driver is busy, too, so the network stack is not tried.
#[test]
fn an_interface_that_is_taken_is_asked_once() {
    let Some(net) = Net::new(Mode::Driver) else { return };
    let first = net.start_relay(Mode::Driver, &[]);
    let second = start(&net, OTHER_PORT, &OTHER_PORTS);
    let log = second.stop().log;
    assert_eq!(choice(&log).matches("another XDP program is attached").count(), 1, "{log}");
    assert!(first.stop().status.success());
}

/// The unit of systemd and the ordinary container give it no capability.
#[test]
fn a_relay_without_privileges_says_so_in_one_line() {
    let Some(machine) = machine("netns", "link add eth0 type veth peer name other") else { return };
    let relay = machine.within(|| {
        let relay = alone(&[]);
        let mut command = Command::new("setpriv");
        command.env_clear().envs(relay.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.args(["--bounding-set=-all", "--inh-caps=-all"]).arg(relay.get_program()).args(relay.get_args());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Relay::spawn(&mut command, LISTEN_PORT)
    });
    let log = relay.stop().log;
    let chosen = choice(&log);
    if relay_ebpf::program().is_ok() {
        assert!(chosen.contains("may not load XDP programs (it lacks CAP_BPF, CAP_NET_ADMIN)"), "{chosen}");
    } else {
        assert!(chosen.contains("this build has no XDP program"), "{chosen}");
    }
    assert!(chosen.contains("`firezone-relay doctor` says more"), "{chosen}");
}

#[test]
fn a_relay_that_limits_bandwidth_loads_nothing() {
    let Some(net) = Net::new(Mode::Generic) else { return };
    let relay = start(&net, LISTEN_PORT, &["--max-bandwidth", "1GB"]);
    assert!(!net.has_program());
    let log = relay.stop().log;
    assert!(choice(&log).contains("bandwidth is limited"), "{log}");
}

#[test]
fn off_is_off_and_says_nothing() {
    let Some(net) = Net::new(Mode::Generic) else { return };
    let relay = start(&net, LISTEN_PORT, &["--ebpf-offloading", "off"]);
    assert!(!net.has_program());
    let log = relay.stop().log;
    assert!(!log.contains("offloading") && !log.contains("user space"), "{log}");
}

/// Needs no privilege and no namespace.
#[test]
fn a_relay_on_loopback_has_no_interface_to_ask_for() {
    let relay = Relay::start(&["--ebpf-offloading", "auto"]);
    let log = relay.stop().log;
    assert!(choice(&log).contains("no interface leads to other machines"), "{log}");
}
