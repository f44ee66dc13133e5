//! aioice, a TURN client in Python, relays through the binary. `interop_aioice.py` in this directory is its program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use test_support::{
    capability::{has_ipv6, has_python_package, python},
    program::run,
    relay::{Relay, minted},
};

fn exchanges_messages(server: &str) {
    let mut relay = Relay::of_workers("2");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop_aioice.py");
    let (port, user) = (relay.port.to_string(), minted("interop"));
    let (output, text) = run(python(), [script, server, &port, &user.username, &user.password]);
    assert!(output.status.success(), "{}\n{text}", output.status);
    assert!(text.contains("with a peer outside: 1000 messages each way"), "{text}");
    assert!(text.contains("between two clients: 1000 messages each way"), "{text}");
    assert!(relay.is_running());
}

#[test]
fn a_thousand_messages_each_way_over_ipv4() {
    if has_python_package("aioice") {
        exchanges_messages("127.0.0.1");
    }
}

#[test]
fn a_thousand_messages_each_way_over_ipv6() {
    if has_python_package("aioice") && has_ipv6() {
        exchanges_messages("::1");
    }
}
