//! Relays through the binary with aioice, a TURN client in Python: `interop_aioice.py`, beside this file, does the talking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod interop;
mod support;

use std::process::Command;

use interop::{can, credentials, python, run, start_relay};
use support::has_ipv6;

fn has_aioice() -> bool {
    let present = Command::new(python()).args(["-c", "import aioice.turn"]).output().is_ok_and(|o| o.status.success());
    can("aioice", present, "aioice is not installed (`cargo xtask setup`)")
}

fn exchanges_messages(server: &str) {
    let mut relay = start_relay("2");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop_aioice.py");
    let (port, user) = (relay.port.to_string(), credentials());
    let (output, text) = run(python().to_str().unwrap(), [script, server, &port, &user.username, &user.password]);
    assert!(output.status.success(), "{}\n{text}", output.status);
    assert!(text.contains("with a peer outside: 1000 messages each way"), "{text}");
    assert!(text.contains("between two clients: 1000 messages each way"), "{text}");
    assert!(relay.is_running());
}

#[test]
fn a_thousand_messages_each_way_over_ipv4() {
    if has_aioice() {
        exchanges_messages("127.0.0.1");
    }
}

#[test]
fn a_thousand_messages_each_way_over_ipv6() {
    if has_aioice() && has_ipv6() {
        exchanges_messages("::1");
    }
}
