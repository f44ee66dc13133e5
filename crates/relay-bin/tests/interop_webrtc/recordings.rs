//! Records browsers, for the fixtures of relay-replay and the examples of the playground (`docs/traces.md`).

use serde_json::{Value, json};

use test_support::capability::has_ipv6;

use crate::{
    browser::{call, chromium, firefox},
    place::Place,
    trace::{Trace, keep},
};

/// Cuts application data to the length of a STUN header, which shows what kind of message the browser sends.
const OPTIONS: [&str; 5] = ["--workers", "1", "--record-secret", "--record-payload-bytes", "20"];

/// Records a browser's call with a few messages and keeps the recording under `name`. Checks that it replays, that the call went as
/// expected, and that some packets match the filter `holds`.
fn record(
    name: &str,
    options: &[&str],
    place: impl FnOnce(&[&str]) -> Option<Place>,
    make: impl FnOnce(&Place, &Value) -> Value,
    succeeds: bool,
    holds: &str,
) {
    let trace = Trace::new();
    let file = trace.option();
    let Some(place) = place(&[&OPTIONS[..], &[&file], options].concat()) else { return };
    let mut settings = call(&place, [place.host; 2]);
    settings["messages"] = json!(4);
    let result = make(&place, &settings);
    assert_eq!(result["ok"], succeeds, "{result:#}");
    place.stop();
    let session = trace.replay();
    assert!(!session.filter(&holds.parse().unwrap()).is_empty(), "{name} holds no {holds}");
    keep(&trace, name);
}

#[test]
fn a_short_session_of_firefox_replays_without_a_difference() {
    if firefox::has_firefox() {
        record("firefox.pcapng", &[], Place::with_interface, firefox::make, true, "dataindication");
    }
}

#[test]
fn a_short_session_of_firefox_without_indications_replays_without_a_difference() {
    if firefox::has_firefox() {
        let options = ["--indications", "off"];
        record(
            "firefox-without-indications.pcapng",
            &options,
            Place::with_interface,
            firefox::make,
            false,
            "send dropped",
        );
    }
}

#[test]
fn a_short_session_of_chromium_replays_without_a_difference() {
    if chromium::has_chromium() {
        record("chromium.pcapng", &[], Place::on_own_loopback, chromium::make, true, "channelbind success");
    }
}

#[test]
fn a_short_session_of_chromium_at_an_ipv6_relay_that_gives_ipv4_replays_without_a_difference() {
    if chromium::has_chromium() && has_ipv6() {
        let options = ["--default-address-family", "ipv4"];
        record("chromium-wrong-family.pcapng", &options, Place::with_ipv6_interface, chromium::make, false, "440");
    }
}
