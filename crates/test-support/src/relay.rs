//! The real binary, as a process of a test's own.

use std::{
    env,
    ffi::OsStr,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Arc, LazyLock, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use turn_auth::{AuthSecret, Credentials, UnixTime};
use turn_client::{Allocate, BlockingClient, Family};

use crate::{PATIENCE, capability::has_ipv6, port::free_port};

/// The secret of every relay that a test starts, and of the credentials that [`credentials`] mints.
pub const SECRET: &str = "4c98bf59c99b3e467ecd7cf9d6b3e5279645fca59be67bc5bb4af3cf653761ab";

/// The first allocation port of the second of two workers: the upper half of 49152 to 65535.
const SECOND_HALF: u16 = 57_344;

/// The kernel spreads clients over workers as it likes: one in two to the power of this many times it likes one only.
const MAX_TRIES: u32 = 40;

/// The environment of a relay that leaves others alone, and this machine's interfaces as they are; that prints when it is up, and ends when
/// it is told to. Tests of health, control, drain and the kernel path say otherwise by options.
pub const ALONE: [(&str, &str); 5] = [
    ("EBPF_OFFLOADING", "off"),
    ("HEALTH_CHECK_ADDR", "off"),
    ("CONTROL_ENDPOINT", "off"),
    ("DRAIN_TIMEOUT", "0s"),
    ("PRINT_CREDENTIALS", "always"),
];

/// The binary `firezone-relay`. Cargo builds it for the tests of its own crate and with `--workspace`; otherwise this does.
pub fn program() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
        // Tests are in `deps`, beside the binaries.
        let folder = env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
        let program = folder.join("firezone-relay");
        if !program.is_file() {
            let mut cargo = Command::new(env!("CARGO"));
            let built = cargo.args(["build", "--package", "relay-bin", "--bin", "firezone-relay"]).status();
            assert!(built.unwrap().success());
            assert!(program.is_file(), "{} is missing", program.display());
        }
        program
    });
    &PROGRAM
}

/// `firezone-relay` with these options and nothing of ours in its environment.
pub fn command<S: AsRef<OsStr>>(options: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program());
    command.env_clear().envs(ALONE).args(options).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end: how it ended, what it wrote to stdout and to stderr.
pub fn run<S: AsRef<OsStr>>(options: impl IntoIterator<Item = S>) -> (ExitStatus, String, String) {
    let output = command(options).output().unwrap();
    (output.status, text(output.stdout), text(output.stderr))
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// A running relay, killed when dropped.
#[derive(Debug)]
pub struct Relay {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// What it has logged until now.
    log: Arc<Mutex<String>>,
    /// Writes the log down, until it ends.
    reader: Option<JoinHandle<()>>,
    /// Where it listens on loopback.
    pub port: u16,
}

/// How a relay ended.
#[derive(Debug)]
pub struct End {
    /// What it ended with.
    pub status: ExitStatus,
    /// Everything that it logged.
    pub log: String,
}

impl Relay {
    /// Starts one on both loopback addresses, with [`SECRET`] and these options, and waits until it is up.
    pub fn start(options: &[&str]) -> Self {
        Self::start_with(&[], options)
    }

    /// The same with so many workers, at which one user may have 100 allocations.
    #[must_use]
    pub fn of_workers(workers: &str) -> Self {
        Self::start(&["--workers", workers, "--allocations-per-username", "100"])
    }

    /// The same as [`Relay::start`], with these variables in its environment.
    pub fn start_with(environment: &[(&str, &str)], options: &[&str]) -> Self {
        let port = free_port();
        let port_text = port.to_string();
        let mut all = vec!["--public-ip4-addr", "127.0.0.1", "--auth-secret", SECRET, "--listen-port", &port_text];
        if has_ipv6() {
            all.extend(["--public-ip6-addr", "::1"]);
        }
        all.extend(options);
        Self::spawn(command(all).envs(environment.iter().copied()), port)
    }

    /// Starts what `command` says, which listens at `port`, and waits until it is up.
    pub fn spawn(command: &mut Command, port: u16) -> Self {
        Self::spawn_and_read(command, port).0
    }

    /// The same, and what it printed until then.
    pub fn spawn_and_read(command: &mut Command, port: u16) -> (Self, String) {
        let mut relay = Self::spawn_silent(command, port);
        let mut printed = String::new();
        // The last line that it prints.
        while !printed.contains("firezone-relay credentials") {
            if relay.stdout.read_line(&mut printed).unwrap() == 0 {
                let End { status, log } = relay.wait();
                panic!("the relay ended with {status} before it was up:\n{log}");
            }
        }
        (relay, printed)
    }

    /// Starts what `command` says, which does not print when it is up.
    pub fn spawn_silent(command: &mut Command, port: u16) -> Self {
        let mut child = command.spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::<Mutex<String>>::default();
        let written = Arc::clone(&log);
        let reader = thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).unwrap() > 0 {
                written.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout, log, reader: Some(reader), port }
    }

    /// Its address on IPv4 loopback.
    pub fn v4(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Its address on IPv6 loopback.
    pub fn v6(&self) -> SocketAddr {
        ([0, 0, 0, 0, 0, 0, 0, 1], self.port).into()
    }

    /// A client of it with a username of its own.
    pub fn client(&self, server: SocketAddr, salt: &str) -> BlockingClient {
        BlockingClient::connect(server, credentials(salt)).unwrap()
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends it a signal, such as `TERM`.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Whether it has logged this until now.
    pub fn has_logged(&self, text: &str) -> bool {
        self.log.lock().unwrap().contains(text)
    }

    /// How often it has logged this until now.
    pub fn logged(&self, text: &str) -> usize {
        self.log.lock().unwrap().matches(text).count()
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it at once.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it ends by itself.
    pub fn wait(mut self) -> End {
        let reader = self.reader.take().unwrap();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let _ = sender.send(reader.join());
        });
        // Its log ends when it does.
        receiver.recv_timeout(PATIENCE).expect("the relay should have ended").unwrap();
        let log = std::mem::take(&mut *self.log.lock().unwrap());
        End { status: self.child.wait().unwrap(), log }
    }

    /// Ends it as an operator would.
    pub fn stop(self) -> End {
        self.signal("TERM");
        self.wait()
    }

    /// The memory that it occupies, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// How many files it has open.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if thread::panicking() && self.is_running() {
            // So that its log ends with a summary.
            self.signal("TERM");
            thread::sleep(Duration::from_millis(500));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take()
            && thread::panicking()
        {
            let _ = reader.join();
            let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            eprintln!("--- the relay's log\n{log}");
        }
    }
}

/// A client of each of a relay's two workers with an allocation of this family, and its relayed transport address; `connect` makes
/// clients. Workers draw from halves of the ports, which tells who has whom.
pub fn clients_of_both_workers(
    family: Family,
    connect: impl Fn(usize) -> BlockingClient,
) -> [(BlockingClient, SocketAddr); 2] {
    [0, 1].map(|worker| {
        for _ in 0..MAX_TRIES {
            let mut client = connect(worker);
            let allocated =
                client.allocate(Allocate { family: Some(family), ..Allocate::default() }).unwrap().relayed[0];
            if usize::from(allocated.port() >= SECOND_HALF) == worker {
                return (client, allocated);
            }
        }
        panic!("{MAX_TRIES} clients, and none on worker {worker}")
    })
}

/// Credentials that are valid for years, for programs: the username and the password.
#[must_use]
pub fn minted(salt: &str) -> Credentials {
    Credentials::mint(&AuthSecret::new(SECRET).unwrap(), UnixTime(4_000_000_000), salt)
}

/// The same for our own client.
#[must_use]
pub fn credentials(salt: &str) -> turn_client::Credentials {
    let minted = minted(salt);
    turn_client::Credentials::new(minted.username, minted.password)
}

/// Allocates and binds `channel` to `peer`: the relayed transport address.
pub fn allocate_and_bind(client: &mut BlockingClient, channel: u16, peer: SocketAddr) -> SocketAddr {
    let allocated = client.allocate(Allocate::default()).unwrap();
    client.bind(channel, peer).unwrap();
    allocated.relayed[0]
}

/// Sends `payload` through `channel` to a peer that echoes it, and takes the echo.
#[track_caller]
pub fn exchange(client: &mut BlockingClient, channel: u16, payload: &[u8]) {
    client.send(channel, payload).unwrap();
    let (from, echoed) = client.receive(PATIENCE).unwrap().expect("an echo");
    assert_eq!(from, channel);
    assert!(echoed == payload, "{} bytes came back of {}", echoed.len(), payload.len());
}
