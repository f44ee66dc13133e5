//! Recordings that are started and stopped while the relay runs.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    time::Duration,
};

use relay_replay::{Change, Mode, NotReplayed, Session};
use serde_json::Value;
use tempfile::TempDir;

use test_support::{
    PATIENCE,
    http::{request, request_at},
    port::free_tcp_address,
    relay::Relay,
    wait_until,
};
use turn_client::{Allocate, BlockingClient};

use super::{SECRET, Trace, converse};

/// A relay whose recordings go to a temporary directory.
struct Controlled {
    relay: Relay,
    control: Control,
    directory: TempDir,
}

enum Control {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Controlled {
    fn start(options: &[&str]) -> Self {
        let address = free_tcp_address();
        Self::start_at(Control::Tcp(address), &address.to_string(), TempDir::new().unwrap(), options)
    }

    /// The same with a Unix socket as control endpoint.
    fn start_private(options: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let socket = directory.path().join("control.sock");
        let at = format!("unix:{}", socket.display());
        Self::start_at(Control::Unix(socket), &at, directory, options)
    }

    fn start_at(control: Control, at: &str, directory: TempDir, options: &[&str]) -> Self {
        let to = directory.path().to_str().unwrap().to_owned();
        let fixed = ["--allocations-per-username", "100", "--control-endpoint", at, "--record-directory", &to];
        Self { relay: Relay::start(&[&fixed, options].concat()), control, directory }
    }

    fn post(&self, path: &str) -> (u16, String) {
        self.ask("POST", path, "")
    }

    fn ask(&self, method: &str, path: &str, headers: &str) -> (u16, String) {
        match &self.control {
            Control::Tcp(address) => request(*address, method, path, headers),
            Control::Unix(socket) => request_at(socket, method, path, headers),
        }
    }

    fn status(&self) -> Value {
        let (status, body) = self.ask("GET", "/record", "");
        assert_eq!(status, 200);
        serde_json::from_str(&body).unwrap()
    }

    fn wait_for(&self, state: &str) {
        wait_until(|| self.status()["state"] == state);
    }

    fn trace(&self, name: &str) -> Trace {
        Trace(self.directory.path().join(name))
    }
}

#[test]
fn a_recording_starts_and_stops_while_the_relay_relays() {
    let test = Controlled::start(&["--workers", "2"]);
    assert_eq!(test.status(), serde_json::json!({"state": "off"}));
    assert_eq!(test.post("/record/stop"), (409, "nothing is being recorded\n".to_owned()));
    // The recording begins later, with this client's allocation.
    converse(&test.relay, 3);
    for name in ["first.pcapng", "second.pcapng"] {
        let (status, body) = test.post(&format!("/record/start?file={name}"));
        assert_eq!(status, 200, "{body}");
        let (status, body) = test.post("/record/start?file=other");
        assert_eq!(status, 409);
        assert!(body.contains(name) && body.contains("is being recorded"), "{body}");
        // Each client has another 5-tuple, and the kernel may give it to either worker.
        for _ in 0..8 {
            converse(&test.relay, 5);
        }
        wait_until(|| test.status()["packets"].as_u64().unwrap() >= 8 * 20);
        assert_eq!(test.status()["state"], "recording");
        assert_eq!(test.post("/record/stop").0, 202);
        test.wait_for("complete");
        assert_eq!(test.post("/record/stop").0, 409);
        // The file is complete although the relay goes on.
        converse(&test.relay, 3);
        let status = test.status();
        let trace = test.trace(name);
        let session = trace.open();
        // These clients are new, so only the secret can check their requests.
        let Mode::Inspection(NotReplayed::SecretNeeded { .. }) = session.mode() else { panic!("{:?}", session.mode()) };
        assert!(session.differences().is_empty(), "{:?}", session.differences());
        let bytes = fs::read(&trace.0).unwrap();
        assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()));
        // The file is longer than its packets by the final statistics, which say how many packets are missing.
        assert!(u64::try_from(bytes.len()).unwrap() > status["bytes"].as_u64().unwrap());
        assert_eq!((&status["missing_packets"], session.dropped()), (&0.into(), 0));
        let packets = session.rows().iter().filter(|row| row.captured > 0).count();
        assert_eq!(status["packets"], packets);
        let last = u32::try_from(session.rows().len() - 1).unwrap();
        assert_eq!(session.view_at(last).counters.packets_up, 8 * 5);
    }
}

/// A client with a channel, and its peer.
struct Pair {
    client: BlockingClient,
    peer: UdpSocket,
}

impl Pair {
    fn new(relay: &Relay) -> Self {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = relay.client(relay.v4(), "recorded");
        client.allocate(Allocate::default()).unwrap();
        client.bind(0x4001, peer.local_addr().unwrap()).unwrap();
        Self { client, peer }
    }

    /// Refreshes the allocation and sends a message each way.
    fn exchange(&mut self) {
        let mut buffer = [0; 2000];
        self.client.refresh(Duration::from_secs(600)).unwrap();
        self.client.send(0x4001, b"up").unwrap();
        let (length, from) = self.peer.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"up");
        self.peer.send_to(b"down", from).unwrap();
        assert_eq!(self.client.receive(PATIENCE).unwrap(), Some((0x4001, b"down".to_vec())));
    }
}

/// How many allocations there were when the recording began.
fn allocations_at_the_beginning(session: &Session) -> usize {
    let rows = 0..u32::try_from(session.rows().len()).unwrap();
    let changes = rows.flat_map(|row| session.changes(row));
    let counts = changes.filter_map(|change| match change {
        Change::Began { allocations, .. } => Some(allocations.len()),
        _ => None,
    });
    counts.sum()
}

#[test]
fn a_recording_that_begins_while_clients_relay_replays_without_a_difference() {
    for workers in ["1", "2"] {
        let test = Controlled::start_private(&["--workers", workers]);
        // Each client has another 5-tuple, and the kernel may give it to either worker.
        let mut pairs: Vec<_> = (0..8).map(|_| Pair::new(&test.relay)).collect();
        pairs.iter_mut().for_each(Pair::exchange);
        let (status, body) = test.post("/record/start?file=middle.pcapng&secret=true");
        assert_eq!(status, 200, "{body}");
        pairs.iter_mut().for_each(Pair::exchange);
        converse(&test.relay, 5);
        for pair in &mut pairs[..4] {
            pair.client.refresh(Duration::ZERO).unwrap();
        }
        pairs[4..].iter_mut().for_each(Pair::exchange);
        test.post("/record/stop");
        test.wait_for("complete");
        let session = test.trace("middle.pcapng").replay();
        assert_eq!(allocations_at_the_beginning(&session), 8);
        let last = u32::try_from(session.rows().len() - 1).unwrap();
        let view = session.view_at(last);
        assert_eq!((view.allocations.len(), view.counters.packets_up), (8 + 1 - 4, 8 + 5 + 4));
    }
}

#[test]
fn without_the_secret_a_recording_replays_what_clients_with_allocations_do() {
    let test = Controlled::start(&["--workers", "2"]);
    let mut pairs: Vec<_> = (0..8).map(|_| Pair::new(&test.relay)).collect();
    let (status, body) = test.post("/record/start?file=middle.pcapng");
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("only the relay's user can read it"), "{body}");
    pairs.iter_mut().for_each(Pair::exchange);
    test.post("/record/stop");
    test.wait_for("complete");
    let trace = test.trace("middle.pcapng");
    let session = trace.replay();
    assert_eq!(allocations_at_the_beginning(&session), 8);
    let bytes = fs::read(&trace.0).unwrap();
    assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()));
    assert!(session.header().unwrap().shards.iter().all(|shard| shard.seed == [0; 32]));
    assert_eq!(fs::metadata(&trace.0).unwrap().permissions().mode() & 0o777, 0o600, "nobody else may read the keys");
}

#[test]
fn limits_and_the_secret_are_as_with_the_options() {
    let test = Controlled::start_private(&["--workers", "1"]);
    let (status, body) =
        test.post("/record/start?file=small.pcapng&secret=true&payload_bytes=8&max_packets=10&max_bytes=100000");
    assert_eq!(status, 200);
    assert!(body.contains("holds the secret"), "{body}");
    converse(&test.relay, 20);
    test.wait_for("full");
    test.post("/record/stop");
    test.wait_for("complete");
    let trace = test.trace("small.pcapng");
    let session = trace.open();
    let packets = session.rows().iter().filter(|row| row.captured > 0).count();
    assert_eq!((packets, test.status()["packets"].as_u64()), (10, Some(10)));
    assert_eq!(session.header().unwrap().auth_secret.as_deref(), Some(SECRET));
    assert!(session.dropped() > 0);
    assert_eq!(fs::metadata(&trace.0).unwrap().permissions().mode() & 0o777, 0o600, "nobody else may read the secret");
}

#[test]
fn what_cannot_be_recorded_is_refused() {
    let test = Controlled::start(&["--workers", "1"]);
    let taken = test.directory.path().join("taken");
    fs::write(&taken, "precious").unwrap();
    std::os::unix::fs::symlink(&taken, test.directory.path().join("link")).unwrap();
    for (path, expected, said) in [
        ("/record/start", 400, "say where"),
        ("/record/start?file=..%2Fup", 400, "plain name"),
        ("/record/start?file=a&max_packets=0", 400, "max_packets"),
        ("/record/start?file=a&limit=1", 400, "unknown"),
        ("/record/start?file=a&secret=true", 403, "unix:"),
        ("/record/start?file=a&max_bytes=2000000000", 403, "unix:"),
        ("/record/start?file=taken", 409, "exists already"),
        ("/record/start?file=link", 409, "exists already"),
    ] {
        let (status, body) = test.post(path);
        assert_eq!(status, expected, "{path}: {body}");
        assert!(body.contains(said), "{path}: {body}");
    }
    assert_eq!(fs::read_to_string(&taken).unwrap(), "precious");
    assert_eq!(test.ask("GET", "/record/start?file=a", "").0, 405);
    assert_eq!(test.post("/record").0, 405);
    for path in ["/record/start?file=a", "/record/stop", "/record"] {
        assert_eq!(test.ask("POST", path, "Origin: https://evil.example\r\n").0, 403);
    }
    assert_eq!(test.status()["state"], "off");
    fs::remove_dir_all(&test.directory).unwrap();
    assert_eq!(test.post("/record/start?file=a").0, 500);
    converse(&test.relay, 1);
}

#[test]
fn a_relay_can_be_told_to_record_at_start_only() {
    let control = free_tcp_address();
    let _relay = Relay::start(&["--control-endpoint", &control.to_string(), "--record-directory", "off"]);
    let (status, body) = request(control, "POST", "/record/start?file=a", "");
    assert_eq!(status, 403);
    assert!(body.contains("RECORD_DIRECTORY is off"), "{body}");
}

#[test]
fn a_recording_from_the_start_can_be_stopped_and_replays() {
    let trace = Trace::new();
    let test = Controlled::start(&["--workers", "2", "--record-secret", &trace.option()]);
    converse(&test.relay, 10);
    assert_eq!(test.status()["state"], "recording");
    assert_eq!(test.post("/record/stop").0, 202);
    test.wait_for("complete");
    let session = trace.replay();
    let last = u32::try_from(session.rows().len() - 1).unwrap();
    assert_eq!(session.view_at(last).counters.packets_up, 10);
    converse(&test.relay, 1);
}

#[test]
fn a_recording_that_nobody_stops_is_complete_when_the_relay_ends() {
    let mut test = Controlled::start(&["--workers", "2"]);
    assert_eq!(test.post("/record/start?file=last.pcapng").0, 200);
    converse(&test.relay, 10);
    wait_until(|| test.status()["packets"].as_u64().unwrap() >= 40);
    let other = Relay::start(&[]);
    std::mem::replace(&mut test.relay, other).stop();
    let session = test.trace("last.pcapng").open();
    let last = u32::try_from(session.rows().len() - 1).unwrap();
    assert_eq!(session.view_at(last).counters.packets_up, 10);
}
