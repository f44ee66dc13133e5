//! The relay under test: a process on this machine.

use std::{
    ffi::OsString,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use turn_auth::{AuthSecret, UnixTime};
use turn_client::{BlockingClient, Credentials};

use super::people::{BINDING, socket_at};
use crate::{client::Server, http, process, started::Started};

/// The secret of all relays that are started here.
const SECRET: &str = "the-abuse-tools-own-secret-for-this-machine-only";

/// The expiry of all credentials: later than any scenario ends.
const EXPIRY: UnixTime = UnixTime(4_000_000_000);

/// The default address to listen and allocate at.
pub(super) const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The lowest allocation port; the highest is the default. Linux does not hand out these ports: a client on this machine is refused
/// while an allocation has its port, as it might be that allocation.
pub(super) const LOWEST_PORT: u16 = 61_000;

/// Options that are set unless the user or the scenario sets them.
const DEFAULTS: [(&str, &str); 7] = [
    ("RUST_LOG", "warn"),
    ("EBPF_OFFLOADING", "off"),
    ("CONTROL_ENDPOINT", "off"),
    ("PRINT_CREDENTIALS", "never"),
    ("LOWEST_PORT", "61000"),
    // The relay must send nothing beyond this machine.
    ("DENY_PEER", "0.0.0.0/0"),
    ("ALLOW_PEER", "127.0.0.0/8"),
];

/// How often to check whether the relay is up, and the time between checks.
const ATTEMPTS: u32 = 2_000;
const PAUSE: Duration = Duration::from_millis(5);

/// Starts a relay, and the same one again after its end.
pub(super) struct Starter {
    program: PathBuf,
    options: Vec<OsString>,
    may_not_skip: bool,
    /// Environment variables. The options take precedence.
    variables: Vec<(&'static str, OsString)>,
    /// The listening address.
    pub(super) address: SocketAddr,
    /// The address of the health endpoint.
    pub(super) health: SocketAddr,
    /// A directory for its files, removed on drop.
    directory: TempDir,
}

impl Starter {
    /// Prepares a relay of `program` at free ports on loopback, with additional `options`.
    ///
    /// # Errors
    ///
    /// When no port is free, or no directory can be made.
    pub(super) fn new(program: &Path, options: &[OsString], may_not_skip: bool) -> Result<Self> {
        let is_free = |port: &u16| UdpSocket::bind((HOST, *port)).is_ok() && TcpListener::bind((HOST, *port)).is_ok();
        // Below the allocation ports, and below the ephemeral ports.
        let first = 10_000 + u16::try_from(std::process::id() % 15_000)?;
        let mut free = (first..30_000).filter(is_free);
        let mut port = || free.next().with_context(|| format!("no port is free at {HOST}"));
        Ok(Self {
            program: program.to_owned(),
            options: options.to_vec(),
            may_not_skip,
            variables: DEFAULTS.iter().map(|(name, value)| (*name, (*value).into())).collect(),
            address: SocketAddr::new(HOST, port()?),
            health: SocketAddr::new(HOST, port()?),
            directory: tempfile::tempdir().context("cannot make a directory for the relay's files")?,
        })
    }

    /// Sets the option with the environment variable `name`, unless the user has set it.
    pub(super) fn set(&mut self, name: &'static str, value: impl Into<OsString>) {
        self.variables.push((name, value.into()));
    }

    /// Moves the relay's addresses to `host`, in a network of this program.
    pub(super) const fn move_to(&mut self, host: IpAddr) {
        self.address.set_ip(host);
        self.health.set_ip(host);
    }

    /// Reports that `what` is skipped because of `why`.
    ///
    /// # Errors
    ///
    /// When nothing may be skipped.
    pub(super) fn skip(&self, what: &str, why: anyhow::Error) -> Result<()> {
        if self.may_not_skip {
            return Err(why.context(format!("{what} may not be skipped")));
        }
        println!("SKIPPED: {what}: {why:#}");
        Ok(())
    }

    /// The path of the control endpoint, if it is used.
    pub(super) fn control(&self) -> PathBuf {
        self.directory.path().join("control.sock")
    }

    /// The path of a file in the relay's directory.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The command that starts the relay. Its log goes to this program's stderr.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear();
        let host = self.address.ip().to_string();
        command.args(["--public-ip4-addr", &host, "--bind-ip4-addr", &host, "--auth-secret", SECRET]);
        command.args(["--listen-port", &self.address.port().to_string()]);
        command.args(["--health-check-addr", &self.health.to_string()]);
        command.envs(self.variables.iter().map(|(name, value)| (name, value))).args(&self.options);
        // In its own process group: Ctrl-C reaches only this program, which then ends the relay.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Starts the relay and waits until it answers.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub(super) fn start(&self) -> Result<Relay> {
        let mut relay = self.spawn()?;
        relay.wait_until_up()?;
        Ok(relay)
    }

    /// Starts the relay.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub(super) fn spawn(&self) -> Result<Relay> {
        self.spawn_by(Started::spawn, self.command())
    }

    /// Starts the relay with `spawn` and `command`, a changed [`Self::command`].
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub(super) fn spawn_by(
        &self,
        spawn: impl FnOnce(&mut Command) -> Result<Started>,
        mut command: Command,
    ) -> Result<Relay> {
        let process = spawn(&mut command)?;
        let secret = AuthSecret::new(SECRET).context("the secret")?;
        Ok(Relay { address: self.address, health: self.health, secret, process })
    }
}

/// A running relay. It is killed on drop.
pub(super) struct Relay {
    /// The listening address.
    pub(super) address: SocketAddr,
    /// The address of the health endpoint.
    pub(super) health: SocketAddr,
    secret: AuthSecret,
    pub(super) process: Started,
}

impl Relay {
    /// Waits until the relay answers.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub(super) fn wait_until_up(&mut self) -> Result<()> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(self.address)?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        for _ in 0..ATTEMPTS {
            self.ensure_running()?;
            // While nothing listens, an ICMP error returns at once.
            if socket.send(&BINDING).and_then(|_| socket.recv(&mut [0; 64])).is_ok()
                && http::get(self.health, "/readyz").is_ok_and(|(status, _)| status == 200)
            {
                return Ok(());
            }
            thread::sleep(PAUSE);
        }
        bail!("the relay does not answer at {}", self.address)
    }

    /// Fails if the relay has ended.
    pub(super) fn ensure_running(&mut self) -> Result<()> {
        match self.process.ended()? {
            Some(status) => bail!("the relay ended with {status}"),
            None => Ok(()),
        }
    }

    /// The credentials of user number `user`.
    pub(super) fn credentials(&self, user: usize) -> Credentials {
        let minted = self.minted(user);
        Credentials::new(minted.username, minted.password)
    }

    /// The same, for callers that sign messages themselves.
    pub(super) fn minted(&self, user: usize) -> turn_auth::Credentials {
        turn_auth::Credentials::mint(&self.secret, EXPIRY, &format!("abuse{user}"))
    }

    /// A client at `host` with the user number `user`.
    ///
    /// # Errors
    ///
    /// When no socket can be opened.
    pub(super) fn client(
        &self,
        host: IpAddr,
        user: usize,
        (timeout, tries): (Duration, u32),
    ) -> Result<BlockingClient> {
        let socket = socket_at(host)?;
        socket.connect(self.address)?;
        Ok(BlockingClient::with_socket(socket, self.credentials(user)).with_retransmission(timeout, tries))
    }

    /// The parameters for many clients at `host`, all with the user number `user`.
    pub(super) fn server(&self, host: IpAddr, user: usize) -> Server {
        Server { address: self.address, credentials: self.credentials(user), from: host }
    }

    /// The relay's resident memory, in bytes.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub(super) fn resident(&self) -> Result<u64> {
        process::resident(self.process.id())
    }

    /// The number of files that the relay has open.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub(super) fn open_files(&self) -> Result<usize> {
        let files = fs::read_dir(format!("/proc/{}/fd", self.process.id())).context("the relay is gone")?;
        Ok(files.count())
    }

    /// The sum of all values of the metric `name` whose labels contain `label`.
    ///
    /// # Errors
    ///
    /// When its health endpoint does not answer.
    pub(super) fn metric(&self, name: &str, label: &str) -> Result<u64> {
        let (_, text) = http::get(self.health, "/metrics").context("the relay does not tell its metrics")?;
        Ok(http::sum(&text, name, label))
    }

    /// Waits until the metric `name` is `value`, for a limited time, and returns it. The relay counts a moment after it has
    /// answered.
    ///
    /// # Errors
    ///
    /// When its health endpoint does not answer.
    pub(super) fn wait_for_metric(&self, name: &str, value: u64) -> Result<u64> {
        let mut found = self.metric(name, "")?;
        for _ in 0..ATTEMPTS {
            if found == value {
                break;
            }
            thread::sleep(PAUSE);
            found = self.metric(name, "")?;
        }
        Ok(found)
    }

    /// Stops the relay.
    ///
    /// # Errors
    ///
    /// When it ends with an error.
    pub(super) fn stop(mut self) -> Result<()> {
        self.process.signal(Signal::SIGINT);
        let status = self.process.wait()?;
        anyhow::ensure!(status.success(), "the relay ended with {status}");
        Ok(())
    }
}
