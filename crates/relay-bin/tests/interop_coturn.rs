//! coturn's unmodified client programs relay through the binary without loss.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use test_support::{
    capability::{has_coturn, has_ipv6},
    echo::CoturnEcho,
    port::free_port,
    program::{run, run_for},
    relay::{Relay, SECRET, minted},
};

/// How many messages each client sends.
const MESSAGES: u64 = 100;

const LOOPBACK: [&str; 2] = ["127.0.0.1", "::1"];

/// Runs `turnutils_uclient` against `server` and checks that every message of `connections` came back.
fn relays_everything(relay: &mut Relay, server: &str, flags: &[&str], connections: u64) {
    let (port, messages, user) = (relay.port.to_string(), MESSAGES.to_string(), minted("interop"));
    let mut arguments = vec!["-p", &port, "-u", &user.username, "-w", &user.password, "-n", &messages, "-z", "5"];
    arguments.extend(flags);
    arguments.push(server);
    let (output, text) = run("turnutils_uclient", &arguments);
    assert!(output.status.success(), "turnutils_uclient {arguments:?}: {}\n{text}", output.status);
    let expected = connections * MESSAGES;
    let totals = format!("tot_send_msgs={expected}, tot_recv_msgs={expected}");
    assert!(text.lines().any(|line| line.ends_with(&totals)), "not all of {expected} messages came back:\n{text}");
    assert!(text.contains("Total lost packets 0 (0.000000%), total send dropped 0"), "something was lost:\n{text}");
    assert!(relay.is_running());
}

fn relays_to_a_peer(workers: &str, server: &str, peer_address: &str, flags: &[&str], connections: u64) {
    if !has_coturn() || !has_ipv6() {
        return;
    }
    let mut relay = Relay::of_workers(workers);
    let port = free_port();
    let _echo = CoturnEcho::start(port, &LOOPBACK);
    let port = port.to_string();
    let mut all = vec!["-e", peer_address, "-r", &port];
    all.extend(flags);
    relays_everything(&mut relay, server, &all, connections);
}

// Without -c every client has a second connection for RTCP, at the next higher port: EVEN-PORT and RESERVATION-TOKEN. Any worker
// accepts a reservation.

#[test]
fn several_clients_reach_a_peer_over_ipv4() {
    relays_to_a_peer("2", "127.0.0.1", "127.0.0.1", &["-m", "4", "-c"], 4);
}

/// The client mints its credentials itself, like back ends for coturn: `{expiry}:alice` with HMAC-SHA1.
#[test]
fn coturn_s_client_mints_its_own_credentials() {
    if !has_coturn() {
        return;
    }
    let mut relay = Relay::of_workers("2");
    let peer_port = free_port();
    let _echo = CoturnEcho::start(peer_port, &["127.0.0.1"]);
    let (port, peer_port, messages) = (relay.port.to_string(), peer_port.to_string(), MESSAGES.to_string());
    let common = ["-p", &port, "-n", &messages, "-z", "5", "-c", "-e", "127.0.0.1", "-r", &peer_port, "-u", "alice"];
    let (output, text) = run("turnutils_uclient", common.iter().chain(&["-W", SECRET, "127.0.0.1"]));
    assert!(output.status.success(), "{text}");
    assert!(text.contains(&format!("tot_send_msgs={MESSAGES}, tot_recv_msgs={MESSAGES}")), "{text}");
    assert!(text.contains("Total lost packets 0 (0.000000%), total send dropped 0"), "{text}");
    assert!(relay.is_running());

    let (_, text) = run_for("20", "turnutils_uclient", common.iter().chain(&["-W", "another secret", "127.0.0.1"]));
    assert!(!text.contains("tot_recv_msgs="), "{text}");
}

#[test]
fn several_clients_reach_a_peer_over_ipv6() {
    relays_to_a_peer("2", "::1", "::1", &["-m", "4", "-c", "-x"], 4);
}

#[test]
fn pairs_of_ports_reach_a_peer() {
    relays_to_a_peer("2", "127.0.0.1", "127.0.0.1", &["-m", "4"], 4);
}

#[test]
fn a_client_over_ipv4_reaches_a_peer_over_ipv6() {
    relays_to_a_peer("2", "127.0.0.1", "::1", &["-m", "2", "-c", "-x"], 2);
}

#[test]
fn a_client_over_ipv6_reaches_a_peer_over_ipv4() {
    relays_to_a_peer("2", "::1", "127.0.0.1", &["-m", "2", "-c", "-X"], 2);
}

#[test]
fn extra_requests_and_padding_do_no_harm() {
    relays_to_a_peer("2", "127.0.0.1", "127.0.0.1", &["-m", "2", "-c", "-G", "-D", "-l", "171"], 2);
}

#[test]
fn large_messages_are_relayed() {
    relays_to_a_peer("2", "127.0.0.1", "127.0.0.1", &["-m", "2", "-c", "-l", "1400"], 2);
}

#[test]
fn indications_reach_a_peer_over_ipv4() {
    relays_to_a_peer("2", "127.0.0.1", "127.0.0.1", &["-m", "4", "-c", "-s"], 4);
}

#[test]
fn indications_reach_a_peer_over_ipv6() {
    relays_to_a_peer("2", "::1", "::1", &["-m", "4", "-c", "-s", "-x"], 4);
}

#[test]
fn indications_of_odd_lengths_and_large_ones_are_relayed() {
    relays_to_a_peer("2", "127.0.0.1", "127.0.0.1", &["-m", "2", "-c", "-s", "-l", "171"], 2);
    relays_to_a_peer("2", "127.0.0.1", "127.0.0.1", &["-m", "2", "-c", "-s", "-l", "1400"], 2);
}

#[test]
fn clients_reach_each_other_by_indications() {
    relays_between_clients("2", "127.0.0.1", &["-m", "4", "-c", "-s"], 4);
}

fn relays_between_clients(workers: &str, server: &str, flags: &[&str], connections: u64) {
    if !has_coturn() || !has_ipv6() {
        return;
    }
    let mut relay = Relay::of_workers(workers);
    let mut all = vec!["-y"];
    all.extend(flags);
    relays_everything(&mut relay, server, &all, connections);
}

#[test]
fn clients_reach_each_other_over_ipv4() {
    relays_between_clients("2", "127.0.0.1", &["-m", "4", "-c"], 4);
}

#[test]
fn clients_reach_each_other_over_ipv6() {
    relays_between_clients("2", "::1", &["-m", "4", "-c", "-x"], 4);
}

#[test]
fn pairs_of_ports_reach_each_other() {
    relays_between_clients("2", "127.0.0.1", &["-m", "4"], 4);
}

#[test]
fn clients_learn_their_address_over_both_families() {
    if !has_coturn() || !has_ipv6() {
        return;
    }
    let relay = Relay::of_workers("2");
    for address in ["127.0.0.1", "::1"] {
        let (output, text) = run("turnutils_stunclient", ["-p", &relay.port.to_string(), address]);
        assert!(output.status.success() && text.contains(&format!("UDP reflexive addr: {address}:")), "{text}");
    }
}

#[test]
fn negative_tests_leave_the_relay_unharmed() {
    if !has_coturn() || !has_ipv6() {
        return;
    }
    let mut relay = Relay::of_workers("2");
    let peer_port = free_port();
    let _echo = CoturnEcho::start(peer_port, &LOOPBACK);
    let (relay_port, peer_port, user) = (relay.port.to_string(), peer_port.to_string(), minted("interop"));
    for flags in [["-N"], ["-R"]] {
        let mut arguments = vec!["-p", &relay_port, "-u", &user.username, "-w", &user.password, "-n", "2", "-c"];
        arguments.extend(["-e", "127.0.0.1", "-r", &peer_port]);
        arguments.extend(flags);
        arguments.push("127.0.0.1");
        // Whether the client succeeds does not matter; some never end.
        run_for("15", "turnutils_uclient", &arguments);
        assert!(relay.is_running(), "{flags:?} ended the relay");
    }
    relays_everything(&mut relay, "127.0.0.1", &["-e", "127.0.0.1", "-r", &peer_port, "-m", "2", "-c"], 2);
}
