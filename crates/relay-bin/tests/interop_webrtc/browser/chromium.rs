//! Chromium, on loopback. It sends connectivity checks in Send indications, and binds a channel when it has data.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use test_support::{
    capability::{can, has_ipv6},
    relay::{SECRET, run},
    wait_until,
};

use super::{Browser, call, fails_without_indications, succeeded, urls};
use crate::place::Place;

const FLAGS: [&str; 12] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // Allow WebRTC on loopback.
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    // A camera with a test picture, for which no user has to give permission.
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
];

pub(crate) fn has_chromium() -> bool {
    let mut command = Command::new("chromium");
    let present = command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    can("chromium", present, "Chromium is not installed (`cargo xtask setup`)")
}

/// Makes this call in a new Chromium.
pub(crate) fn make(place: &Place, settings: &Value) -> Value {
    let settings = settings.clone();
    make_with(place, move || settings.clone())
}

/// The same, with settings computed when the page requests them.
fn make_with(place: &Place, settings: impl Fn() -> Value + Send + Sync + 'static) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("chromium");
    command.args(FLAGS).arg(format!("--user-data-dir={}", folder.path().display()));
    Browser::open(place, command, folder, settings).result()
}

#[test]
fn chromium_loses_no_message_over_ipv4() {
    if has_chromium() {
        let place = Place::on_loopback(&[]);
        succeeded(&make(&place, &call(&place, ["127.0.0.1"; 2])));
    }
}

#[test]
fn chromium_loses_no_message_over_ipv6() {
    if has_chromium() && has_ipv6() {
        // Chromium requests no family, so the relay must choose that of the connection.
        let place = Place::on_loopback(&["--default-address-family", "client"]);
        let result = make(&place, &call(&place, ["[::1]"; 2]));
        succeeded(&result);
        for side in ["local", "remote"] {
            assert!(result["pair"][side].as_str().unwrap().contains("::1"), "{result:#}");
        }
    }
}

#[test]
fn chromium_loses_no_message_between_the_families() {
    if has_chromium() && has_ipv6() {
        let place = Place::on_loopback(&[]);
        succeeded(&make(&place, &call(&place, ["127.0.0.1", "[::1]"])));
    }
}

#[test]
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
        // Far fewer than the camera gives, because the machine may render slowly.
        assert!(count("frames") >= 30, "{result:#}");
        assert!(count("lost") * 100 <= count("packets"), "{result:#}");
    }
}

#[test]
fn chromium_fails_without_indications_and_the_metric_says_why() {
    if has_chromium() {
        fails_without_indications(&Place::on_loopback(&["--indications", "off"]), make);
    }
}

/// An entry of `iceServers` for one user, valid for `ttl`.
fn minted(ttl: &str, urls: &[String]) -> Value {
    let mut options = vec!["credentials", "--secret", SECRET, "--salt", "alice", "--ttl", ttl];
    options.extend(urls.iter().flat_map(|url| ["--url", url]));
    let (status, printed, errors) = run(options);
    assert!(status.success(), "{errors}");
    serde_json::from_str(&printed).unwrap()
}

#[test]
fn chromium_talks_on_when_its_credential_has_expired() {
    if !has_chromium() || !has_ipv6() {
        return;
    }
    // Each side has an allocation of both families. The first learns after the expiry that the second has an IPv6 address.
    let place = Place::on_loopback(&["--default-address-family", "client"]);
    let urls = urls(place.relay.port, &["127.0.0.1", "[::1]"]);
    // Minted when the page requests it, so that a slow start takes none of the lifetime.
    let result = make_with(&place, move || {
        let (short, renewed) = (minted("12s", &urls), minted("1h", &urls));
        let expiry: u64 = short["username"].as_str().unwrap().split(':').next().unwrap().parse().unwrap();
        json!({
            "a": [short], "b": [short], "messages": 1000, "keepBack": true, "expire": expiry,
            "restart": { "a": [renewed], "b": [renewed] },
        })
    });
    succeeded(&result);
    assert_ne!(result["pair"]["local"], result["newPair"]["local"], "{result:#}");
    // All requests after the expiry succeeded, also those that end the allocations.
    for kind in ["create_permission", "channel_bind", "refresh"] {
        for code in ["401", "441"] {
            let refused =
                format!("responses_total{{response_class=\"error\",message_type=\"{kind}\",error_code=\"{code}\"}}");
            assert_eq!(place.metric(&refused), 0, "{refused}");
        }
    }
    wait_until(|| place.metric("active_allocations") == 0);
}
