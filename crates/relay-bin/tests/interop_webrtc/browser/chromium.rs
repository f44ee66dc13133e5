//! Chromium, on loopback. It sends its connectivity checks in Send indications and binds a channel once it has data.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Browser, call, fails_without_indications, succeeded};
use crate::{interop::can, place::Place, support::has_ipv6};

const FLAGS: [&str; 12] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // WebRTC on loopback.
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    // A camera that shows a test picture, which nobody has to allow.
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
];

fn has_chromium() -> bool {
    let mut command = Command::new("chromium");
    let present = command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    can("chromium", present, "Chromium is not installed (`cargo xtask setup`)")
}

/// Makes this call in a new Chromium.
fn make(place: &Place, settings: &Value) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("chromium");
    command.args(FLAGS).arg(format!("--user-data-dir={}", folder.path().display()));
    Browser::open(place, command, folder, settings).result()
}

#[test]
#[ignore = "the relay drops Send indications as yet"]
fn chromium_loses_no_message_over_ipv4() {
    if has_chromium() {
        let place = Place::on_loopback(&[]);
        succeeded(&make(&place, &call(&place, ["127.0.0.1"; 2])));
    }
}

#[test]
#[ignore = "the relay drops Send indications as yet"]
fn chromium_loses_no_message_between_the_families() {
    if has_chromium() && has_ipv6() {
        let place = Place::on_loopback(&[]);
        succeeded(&make(&place, &call(&place, ["127.0.0.1", "[::1]"])));
    }
}

#[test]
#[ignore = "the relay drops Send indications as yet"]
fn chromium_restarts_ice() {
    if !has_chromium() {
        return;
    }
    let place = Place::on_loopback(&[]);
    let mut settings = call(&place, ["127.0.0.1"; 2]);
    settings["restart"] = json!({ "a": settings["a"], "b": settings["b"] });
    let result = make(&place, &settings);
    succeeded(&result);
    assert_ne!(result["pair"]["local"], result["newPair"]["local"], "{result:#}");
    assert_ne!(result["pair"]["remote"], result["newPair"]["remote"], "{result:#}");
}

#[test]
#[ignore = "the relay drops Send indications as yet"]
fn chromium_sees_each_other_for_half_a_minute() {
    if !has_chromium() {
        return;
    }
    let place = Place::on_loopback(&[]);
    let mut settings = call(&place, ["127.0.0.1"; 2]);
    settings["video"] = json!(30);
    let result = make(&place, &settings);
    succeeded(&result);
    for side in result["video"].as_array().unwrap() {
        let count = |name: &str| side[name].as_u64().unwrap();
        // Far fewer than the camera gives: the machine may be slow at making pictures.
        assert!(count("frames") >= 30, "{result:#}");
        assert!(count("lost") * 100 <= count("packets"), "{result:#}");
    }
}

#[test]
#[ignore = "the relay drops Send indications as yet"]
fn chromium_fails_without_indications_and_the_metric_says_why() {
    if has_chromium() {
        fails_without_indications(&Place::on_loopback(&["--indications", "off"]), make);
    }
}
