//! A full disk, for the recording and for the log on the same disk.

use std::{fs, io::Write as _, net::SocketAddr, path::PathBuf, process::Command};

use relay_replay::{Mode, NotReplayed, Session};
use serde_json::Value;
use tempfile::TempDir;
use test_support::{
    capability::can,
    http::{get, request},
    port::{free_port, free_tcp_address},
    relay::{ALONE, Relay, SECRET, program},
    wait_until,
};

use super::converse;

/// The size of the disk, in KiB.
const ROOM: u64 = 256;

/// A relay that records and logs to a small disk.
struct OnDisk {
    relay: Relay,
    control: SocketAddr,
    health: SocketAddr,
    folder: TempDir,
}

impl OnDisk {
    /// Starts it. `None`, with a message, if no disk can be made.
    fn start() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let disk = folder.path().to_str().unwrap().to_owned();
        let mount = format!("mount -t tmpfs -o size={ROOM}k tmpfs {disk}");
        let may = Command::new("unshare").args(["-m", "sh", "-c", &mount]).output();
        let may = may.is_ok_and(|output| output.status.success());
        if !can("mount", may, "no file system can be mounted here") {
            return None;
        }
        let (port, control, health) = (free_port(), free_tcp_address(), free_tcp_address());
        let mut command = Command::new("unshare");
        command.env_clear().envs(ALONE).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").args(["-m", "sh", "-c"]);
        // `exec` keeps the process id.
        command.arg(format!("{mount} && exec \"$0\" \"$@\" 2> {disk}/log")).arg(program());
        command.args(["--public-ip4-addr", "127.0.0.1", "--auth-secret", SECRET, "--listen-port", &port.to_string()]);
        command.args(["--workers", "1", "--log-filter", "debug", "--allocations-per-username", "1000"]);
        command.args(["--record-directory", &disk]);
        command.args(["--control-endpoint", &control.to_string(), "--health-check-addr", &health.to_string()]);
        command.stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        Some(Self { relay: Relay::spawn(&mut command, port), control, health, folder })
    }

    /// The path of a file on the disk, through the relay's mount namespace.
    fn path(&self, name: &str) -> PathBuf {
        let disk = self.folder.path().strip_prefix("/").unwrap();
        PathBuf::from(format!("/proc/{}/root", self.relay.id())).join(disk).join(name)
    }

    fn has_logged(&self, text: &str) -> bool {
        fs::read_to_string(self.path("log")).unwrap().contains(text)
    }

    fn post(&self, path: &str) -> (u16, String) {
        request(self.control, "POST", path, "")
    }

    fn status(&self) -> Value {
        serde_json::from_str(&request(self.control, "GET", "/record", "").1).unwrap()
    }

    fn metric(&self, line: &str) -> u64 {
        let (_, text) = get(self.health, "/metrics");
        text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' ')).unwrap().parse().unwrap()
    }
}

#[test]
fn a_full_disk_ends_the_recording_with_a_whole_record_and_another_can_follow() {
    let Some(test) = OnDisk::start() else { return };
    assert_eq!(test.post("/record/start?file=first.pcapng").0, 200);
    wait_until(|| {
        converse(&test.relay, 100);
        test.status()["state"] == "failed"
    });
    assert_eq!(test.metric("faults_total{part=\"recording\"}"), 1);
    // The log is on the same disk. The relay and its endpoints go on.
    wait_until(|| {
        converse(&test.relay, 100);
        test.metric("log_lines_lost_total{reason=\"write_failed\"}") > 0
    });
    assert_eq!(get(test.health, "/healthz").0, 200);
    // The recording has ended, so it cannot be stopped.
    assert_eq!(test.post("/record/stop").0, 409);

    let status = test.status();
    let bytes = fs::read(test.path("first.pcapng")).unwrap();
    assert_eq!(status["bytes"], bytes.len(), "{status}");
    let mut session = Session::new();
    session.push(&bytes);
    session.end();
    assert_eq!(session.error(), None);
    // The client of the recording is new, and the secret is not recorded.
    assert!(matches!(session.mode(), Mode::Inspection(NotReplayed::SecretNeeded { .. })), "{:?}", session.mode());
    let packets = session.rows().iter().filter(|row| row.captured > 0).count();
    assert_eq!(status["packets"], packets);
    assert!(packets > 500, "{packets} packets");

    // While the disk is full, another recording is refused. Truncating the first may have left some room.
    let mut filler = fs::File::create(test.path("filler")).unwrap();
    while filler.write_all(&[0; 512]).is_ok() {}
    assert_eq!(test.post("/record/start?file=second.pcapng").0, 500);
    assert_eq!(test.metric("faults_total{part=\"recording\"}"), 2);
    for name in ["first.pcapng", "filler"] {
        fs::remove_file(test.path(name)).unwrap();
    }
    drop(filler);
    let _ = fs::remove_file(test.path("second.pcapng"));
    assert_eq!(test.post("/record/start?file=third.pcapng").0, 200);
    converse(&test.relay, 10);
    wait_until(|| test.status()["packets"].as_u64().unwrap() >= 40);
    assert_eq!(test.post("/record/stop").0, 202);
    wait_until(|| test.status()["state"] == "complete");
    let mut session = Session::new();
    session.push(&fs::read(test.path("third.pcapng")).unwrap());
    session.end();
    assert_eq!(session.error(), None);
    wait_until(|| test.has_logged("lines of this log were lost"));
}
