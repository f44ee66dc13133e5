//! The recipes in `docs/webrtc.md`: usernames as back ends format them, with passwords from another implementation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::process::{Command, Stdio};

use test_support::{
    capability::can,
    echo::Echo,
    port::free_port,
    relay::{Relay, allocate_and_bind, command, exchange, run},
};
use turn_client::BlockingClient;

const CHANNEL: u16 = 0x4000;

/// A secret for both schemes.
const LONG: &str = "Uo7quohng9ohshaizeiPh2eewee6Ohch";
/// A secret for turn-rest only.
const SHORT: &str = "north";

/// `base64(HMAC-SHA1(key, message))`, computed in Python.
fn hmac_sha1(key: &str, message: &str) -> Option<String> {
    let script = "import base64, hmac, sys; print(base64.b64encode(hmac.digest(*map(str.encode, sys.argv[1:3]), 'sha1')).decode())";
    let output = Command::new("python3").args(["-c", script, key, message]).stderr(Stdio::null()).output();
    let output = output.ok().filter(|output| output.status.success());
    if !can("python3", output.is_some(), "Python is not installed (`cargo xtask setup`)") {
        return None;
    }
    Some(String::from_utf8(output?.stdout).unwrap().trim().to_owned())
}

/// Relays for a user with this name, with a long secret and with a short one, as the page describes.
fn serves(username: &str) {
    relays(username, LONG, &[]);
    relays(username, SHORT, &["--credential-scheme", "turn-rest"]);
}

/// Exchanges one message with a peer.
fn relays(username: &str, secret: &str, options: &[&str]) {
    let Some(password) = hmac_sha1(secret, username) else { return };
    let port = free_port();
    let port_text = port.to_string();
    let mut command = command(["--public-ip4-addr", "127.0.0.1", "--listen-port", &port_text, "--auth-secret", secret]);
    let relay = Relay::spawn(command.args(options), port);
    let echo = Echo::start(relay.v4());
    let credentials = turn_client::Credentials::new(username, password);
    let mut client = BlockingClient::connect(relay.v4(), credentials).unwrap();
    allocate_and_bind(&mut client, CHANNEL, echo.address);
    exchange(&mut client, CHANNEL, b"hello");
}

#[test]
fn a_user_of_synapse_is_served() {
    // Synapse's user ids contain colons.
    serves("4000000000:@alice:example.org");
}

#[test]
fn a_user_of_nextcloud_talk_is_served() {
    serves("4000000000:Zp3sVw9rT0aYbKq1");
}

#[test]
fn a_user_of_jitsi_is_served() {
    // Prosody writes no user id.
    serves("4000000000");
}

#[test]
fn the_page_names_options_that_exist() {
    let page = include_str!("../../../docs/webrtc.md");
    let (status, help, _) = run(["--help"]);
    assert!(status.success());
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let options = page.split('`').skip(1).step_by(2).filter_map(|code| code.strip_prefix("--"));
    let mut count = 0;
    for option in options.map(|option| option.split(|c| !is_part(c)).next().unwrap()) {
        assert!(help.contains(&format!("--{option} ")), "docs/webrtc.md names --{option}, which does not exist");
        count += 1;
    }
    assert!(count > 5, "the page was not understood");
}
