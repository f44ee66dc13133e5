//! A new process takes over from an old one, and no client loses anything.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use tempfile::TempDir;
use test_support::{
    PATIENCE,
    echo::Echo,
    http::get,
    port::free_port,
    relay::{self, Relay, SECRET, allocate_and_bind, exchange},
    wait_until,
};
use turn_client::BlockingClient;

const CHANNEL: u16 = 0x4000;
/// How many threads send, and for how many clients each.
const THREADS: usize = 4;
const CLIENTS: usize = 12;
const UPGRADES: usize = 10;

/// How often a process was handed over to since the start.
fn handed_over(relay: &Relay) -> usize {
    relay.logged("handed over: all allocations are the new process's")
}

fn upgrade(relay: &Relay) {
    let before = handed_over(relay);
    relay.signal("HUP");
    wait_until(|| handed_over(relay) == before + 1);
    // The process that was started passes signals on only once it has let go of everything.
    wait_until(|| Path::new(&format!("/proc/{}/cmdline", relay.id())).exists() && is_supervisor(relay));
}

fn is_supervisor(relay: &Relay) -> bool {
    fs::read(format!("/proc/{}/cmdline", relay.id())).unwrap().ends_with(b"supervise\0")
}

/// Sends numbered data for each client until told to stop, and takes the echoes: how many were sent, and which never came back.
fn talk(clients: &mut [BlockingClient], is_over: &AtomicBool, rounds: &AtomicUsize) -> (u64, Vec<(usize, u64)>) {
    let mut open: Vec<BTreeSet<u64>> = clients.iter().map(|_| BTreeSet::new()).collect();
    let mut number = 0_u64;
    let take = |client: &mut BlockingClient, open: &mut BTreeSet<u64>, limit| {
        let echo = client.receive(limit).unwrap();
        echo.map(|(_, echoed)| open.remove(&u64::from_be_bytes(echoed.try_into().unwrap())))
    };
    while !is_over.load(Ordering::Relaxed) {
        number += 1;
        rounds.fetch_add(1, Ordering::Relaxed);
        for (client, open) in clients.iter_mut().zip(&mut open) {
            client.send(CHANNEL, &number.to_be_bytes()).unwrap();
            open.insert(number);
        }
        for (client, open) in clients.iter_mut().zip(&mut open) {
            while take(client, open, Duration::from_millis(1)).is_some() {}
        }
    }
    for (client, open) in clients.iter_mut().zip(&mut open) {
        while !open.is_empty() && take(client, open, PATIENCE).is_some() {}
    }
    let lost = open.iter().enumerate().flat_map(|(client, open)| open.iter().map(move |number| (client, *number)));
    (number, lost.collect())
}

/// How many allocations were made and how many packets relayed to peers, as metrics have it.
fn counts(address: &str) -> (usize, usize) {
    let metrics = get(address.parse().unwrap(), "/metrics").1;
    let sum = |name: &str| {
        let values = metrics.lines().filter(|line| line.starts_with(name)).map(|line| line.rsplit(' ').next().unwrap());
        values.map(|value| value.parse::<usize>().unwrap()).sum()
    };
    (sum("allocations_created_total"), sum("relayed_packets_total"))
}

/// Sets its flag when it is dropped, so that a test that fails ends.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn ten_upgrades_in_a_row_lose_no_packet_and_no_allocation() {
    let health = free_port().to_string();
    let address = format!("127.0.0.1:{health}");
    let relay =
        Relay::start(&["--workers", "2", "--allocations-per-username", "1000", "--health-check-addr", &address]);
    let echo = Echo::start(relay.v4());
    let (is_over, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (sent, newcomers) = thread::scope(|scope| {
        let talking: Vec<_> = (0..THREADS)
            .map(|talker| {
                let mut clients: Vec<_> = (0..CLIENTS)
                    .map(|client| {
                        let mut client = relay.client(relay.v4(), &format!("{talker}-{client}"));
                        allocate_and_bind(&mut client, CHANNEL, echo.address);
                        client
                    })
                    .collect();
                let (is_over, rounds) = (&is_over, &rounds);
                scope.spawn(move || {
                    let talked = talk(&mut clients, is_over, rounds);
                    for client in &mut clients {
                        client.refresh(Duration::from_secs(700)).unwrap();
                    }
                    talked
                })
            })
            .collect();
        // Clients that begin in the middle of it.
        let newcomers = scope.spawn(|| {
            let mut newcomers = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let mut client = relay.client(relay.v4(), &format!("new-{}", newcomers.len()));
                allocate_and_bind(&mut client, CHANNEL, echo.address);
                exchange(&mut client, CHANNEL, b"hello");
                newcomers.push(client);
                thread::sleep(Duration::from_millis(20));
            }
            newcomers.len()
        });
        let over = Over(&is_over);
        let mut counted = (0, 0);
        for _ in 0..UPGRADES {
            let before = rounds.load(Ordering::Relaxed);
            wait_until(|| rounds.load(Ordering::Relaxed) >= before + 10 * THREADS);
            upgrade(&relay);
            wait_until(|| get(address.parse().unwrap(), "/readyz").0 == 200);
            // Nothing that was counted is forgotten.
            let now = counts(&address);
            assert!(now.0 >= counted.0 && now.1 >= counted.1, "{counted:?}, then {now:?}");
            counted = now;
        }
        assert!(counted.0 >= THREADS * CLIENTS, "{counted:?}");
        drop(over);
        let newcomers = newcomers.join().unwrap();
        assert!(newcomers > 0);
        let talked = talking.into_iter().map(|thread| thread.join().unwrap());
        let sent = talked.fold(0, |sum, (sent, lost)| {
            assert_eq!(lost, [], "of {sent} for each client");
            sum + sent
        });
        (sent, newcomers)
    });
    assert!(sent >= 400, "{sent} rounds were sent meanwhile");
    let end = relay.stop();
    // Each allocation has one account, whichever process it ended in.
    let allocations = THREADS * CLIENTS + newcomers;
    assert_eq!(end.log.matches("allocation ended").count(), allocations, "{}", end.log);
    assert!(end.log.contains(&format!("relay stopped: {allocations} allocations")), "{}", end.log);
    assert_eq!(end.status.code(), Some(0), "{}", end.log);
    assert_eq!(end.log.matches("relay stopped").count(), 1, "{}", end.log);
}

/// Copies a program. By another process: a file that is open for writing cannot be executed, and the processes that other tests start have all
/// files of this one for a moment.
fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").args([from, to]).status().unwrap().success());
}

/// Writes a file, by another process as well.
fn write(to: &Path, bytes: &[u8]) {
    let mut tee = Command::new("tee").arg(to).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    tee.stdin.take().unwrap().write_all(bytes).unwrap();
    assert!(tee.wait().unwrap().success());
}

/// A relay of a program that can be replaced while it runs.
struct Replaceable {
    folder: TempDir,
    relay: Relay,
}

impl Replaceable {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let program = folder.path().join("relay");
        copy(relay::program(), &program);
        let port = free_port();
        let mut command = Command::new(&program);
        command.env_clear().envs(relay::ALONE).env("WORKERS", "1");
        command.args(["--public-ip4-addr", "127.0.0.1", "--auth-secret", SECRET, "--listen-port", &port.to_string()]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { relay: Relay::spawn(&mut command, port), folder }
    }

    /// Replaces the program, as packages do: the old file lives on for whoever runs it.
    fn replace(&self, with: impl FnOnce(&Path)) {
        let new = self.folder.path().join("new");
        with(&new);
        if new.exists() {
            fs::rename(new, self.folder.path().join("relay")).unwrap();
        } else {
            fs::remove_file(self.folder.path().join("relay")).unwrap();
        }
    }

    fn script(&self, text: &str) {
        self.replace(|new| {
            write(new, text.as_bytes());
            fs::set_permissions(new, fs::Permissions::from_mode(0o755)).unwrap();
        });
    }
}

#[test]
fn a_new_process_that_does_not_take_over_leaves_the_old_one_serving() {
    let this = Replaceable::start();
    let echo = Echo::start(this.relay.v4());
    let mut client = this.relay.client(this.relay.v4(), "a");
    allocate_and_bind(&mut client, CHANNEL, echo.address);
    let mut failures = 0;
    let mut fails = |client: &mut BlockingClient, why: &str| {
        this.relay.signal("HUP");
        failures += 1;
        wait_until(|| this.relay.logged("does not take over, this one serves on") == failures);
        assert!(this.relay.has_logged(why), "{why}");
        exchange(client, CHANNEL, b"still there");
    };

    let program = relay::program().display();
    this.script("#!/bin/sh\nexit 3\n");
    fails(&mut client, "exit status: 3");
    // It says nothing that a relay says.
    this.script("#!/bin/sh\necho nonsense >&0\nsleep 1\n");
    fails(&mut client, "it does not say who it is");
    this.script(&format!("#!/bin/sh\nWORKERS=2 exec {program} \"$@\"\n"));
    fails(&mut client, "it has 2 workers, not 1");
    this.script(&format!("#!/bin/sh\nREALM=other exec {program} \"$@\"\n"));
    fails(&mut client, "its realm is \"other\"");
    this.script(&format!("#!/bin/sh\nLOWEST_PORT=60000 exec {program} \"$@\"\n"));
    fails(&mut client, "its allocation ports are 60000-65535");
    this.script(&format!("#!/bin/sh\nshift 2; PUBLIC_IP4_ADDR=127.0.0.2 exec {program} \"$@\"\n"));
    fails(&mut client, "its public addresses are [127.0.0.2]");
    this.script(&format!("#!/bin/sh\nREPLY_LIMIT=nonsense exec {program} \"$@\"\n"));
    fails(&mut client, "exit status: 2");
    // It may not have the files, and says so.
    this.script(&format!("#!/bin/sh\nulimit -n 16; exec {program} \"$@\"\n"));
    fails(&mut client, "exit status: 1");
    this.replace(|new| write(new, b"no program"));
    fails(&mut client, "Permission denied");
    this.replace(|new| {
        write(new, &[0x7F, b'E', b'L', b'F', 9]);
        fs::set_permissions(new, fs::Permissions::from_mode(0o755)).unwrap();
    });
    fails(&mut client, "Exec format error");
    this.replace(|_| {});
    fails(&mut client, "No such file or directory");

    let upgrade = || {
        let process = this.relay.id().to_string();
        let output = relay::command(["upgrade", &process]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    this.script("#!/bin/sh\nsleep 0.2; exit 3\n");
    let (code, _, error) = upgrade();
    assert!(code == Some(1) && error.contains("the old process serves on"), "{error}");

    // And then the right one, twice: from the process that was started, and from the next.
    this.replace(|new| copy(relay::program(), new));
    for _ in 0..2 {
        let (code, output, error) = upgrade();
        assert!(code == Some(0) && output.contains("has taken over"), "{output}{error}");
        exchange(&mut client, CHANNEL, b"still there");
    }
    assert_eq!(this.relay.stop().status.code(), Some(0));
}

#[test]
fn an_upgrade_of_what_is_no_relay_says_so() {
    let (status, _, error) = relay::run(["upgrade", &i32::MAX.to_string()]);
    assert!(status.code() == Some(1) && error.contains("cannot send SIGHUP"), "{error}");
    let (status, _, error) = relay::run(["upgrade", "0"]);
    assert!(status.code() == Some(2) && error.contains("PID"), "{error}");
}

#[test]
fn a_relay_that_is_told_to_end_in_the_middle_of_it_ends() {
    let this = Replaceable::start();
    this.script("#!/bin/sh\nexec sleep 100\n");
    this.relay.signal("HUP");
    wait_until(|| this.relay.has_logged("handing over to a new process"));
    // A second one changes nothing.
    this.relay.signal("HUP");
    let end = this.relay.stop();
    assert_eq!(end.status.code(), Some(0), "{}", end.log);
    assert!(end.log.contains("the handover is cut short"), "{}", end.log);
}
