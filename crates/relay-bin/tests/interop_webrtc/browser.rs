//! Chromium and Firefox, which open the page in `webrtc/page/` without a WebDriver.

pub(crate) mod chromium;
pub(crate) mod firefox;

use std::{
    net::TcpListener,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{relay::minted, wait_until};

use crate::{page_server::PageServer, place::Place};

/// A browser that has opened the page. Dropping it ends the browser and its subprocesses.
struct Browser {
    child: Child,
    server: PageServer,
    /// The profile.
    _folder: TempDir,
}

impl Browser {
    /// Starts a browser in the relay's network. The page's address is its last argument.
    fn open(
        place: &Place,
        mut command: Command,
        folder: TempDir,
        settings: impl Fn() -> Value + Send + Sync + 'static,
    ) -> Self {
        let listener = place.within(|| TcpListener::bind("127.0.0.1:0").unwrap());
        let server = PageServer::start(listener, settings);
        command.arg(format!("http://{}/", server.address)).env("HOME", folder.path()).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { child: place.spawn(command), server, _folder: folder }
    }

    /// The page's report about its call.
    fn result(&self) -> Value {
        self.server.result().expect("the page said nothing: the browser did not start, or hangs")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-s", "KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}

/// The page's settings for a call whose sides use the relay at these hosts.
pub(crate) fn call(place: &Place, hosts: [&str; 2]) -> Value {
    let user = minted("interop");
    let [a, b] = hosts.map(|host| servers(place, &[host], &user.username, &user.password));
    json!({ "a": a, "b": b, "messages": 1000 })
}

/// `iceServers`.
fn servers(place: &Place, hosts: &[&str], username: &str, password: &str) -> Value {
    json!([{ "urls": urls(place.relay.port, hosts), "username": username, "credential": password }])
}

fn urls(port: u16, hosts: &[&str]) -> Vec<String> {
    hosts.iter().map(|host| format!("turn:{host}:{port}?transport=udp")).collect()
}

/// Checks that a call went well.
#[track_caller]
fn succeeded(result: &Value) {
    assert_eq!(result["ok"], true, "{result:#}");
}

/// Checks that a call fails because Send indications are off, and that the relay's metrics show it.
#[track_caller]
fn fails_without_indications(place: &Place, make: impl Fn(&Place, &Value) -> Value) {
    let result = make(place, &call(place, [place.host; 2]));
    assert_eq!(result["ok"], false, "{result:#}");
    // There are candidates, so the allocations succeeded. Only the connectivity checks fail.
    assert!(!result["candidates"]["a"].as_array().unwrap().is_empty(), "{result:#}");
    assert!(result["error"].as_str().unwrap().contains("the connection failed"), "{result:#}");
    wait_until(|| place.metric("dropped_datagrams_total{reason=\"send_indication\"}") > 0);
}
