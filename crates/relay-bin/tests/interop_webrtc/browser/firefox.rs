//! Firefox ESR. It does not use loopback, and sends all data in Send indications.

use std::{
    fs,
    process::{Command, Stdio},
};

use serde_json::Value;

use test_support::capability::can;

use super::{Browser, call, fails_without_indications, succeeded};
use crate::place::Place;

/// The profile's preferences: no requests to the Internet, and no questions to the user.
const PREFERENCES: &str = include_str!("../../webrtc/firefox-preferences.js");

pub(crate) fn has_firefox() -> bool {
    let mut command = Command::new("firefox-esr");
    let present = command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    can("firefox", present, "Firefox ESR is not installed (`cargo xtask setup`)")
}

/// Makes this call in a new Firefox.
pub(crate) fn make(place: &Place, settings: &Value) -> Value {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("user.js"), PREFERENCES).unwrap();
    let mut command = Command::new("firefox-esr");
    command.args(["--headless", "--no-remote", "--profile"]).arg(folder.path());
    let settings = settings.clone();
    Browser::open(place, command, folder, move || settings.clone()).result()
}

#[test]
fn firefox_loses_no_message() {
    if !has_firefox() {
        return;
    }
    let Some(place) = Place::with_interface(&[]) else { return };
    succeeded(&make(&place, &call(&place, [place.host; 2])));
}

#[test]
fn firefox_fails_without_indications_and_the_metric_says_why() {
    if !has_firefox() {
        return;
    }
    let Some(place) = Place::with_interface(&["--indications", "off"]) else { return };
    fails_without_indications(&place, make);
}
