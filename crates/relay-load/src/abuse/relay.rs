//! The relay under test, a process of its own on this machine.

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

/// The secret of every relay that is started here.
const SECRET: &str = "the-abuse-tools-own-secret-for-this-machine-only";

/// Far enough for any scenario.
const EXPIRY: UnixTime = UnixTime(4_000_000_000);

/// Where a relay listens and allocates, where nothing else is asked for.
pub(super) const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The lowest of the ports that allocations get, which go up to the highest there is. They are not those that Linux hands out: a client
/// of this machine is refused while an allocation has its port, as it may be that allocation.
pub(super) const LOWEST_PORT: u16 = 61_000;

/// What is set unless the user or the scenario says otherwise.
const DEFAULTS: [(&str, &str); 6] = [
    ("RUST_LOG", "warn"),
    ("CONTROL_ENDPOINT", "off"),
    ("PRINT_CREDENTIALS", "never"),
    ("LOWEST_PORT", "61000"),
    // Whatever is asked of it, it sends nothing beyond this machine.
    ("DENY_PEER", "0.0.0.0/0"),
    ("ALLOW_PEER", "127.0.0.0/8"),
];

/// How often to ask whether the relay is up, and how long apart.
const ATTEMPTS: u32 = 2_000;
const PAUSE: Duration = Duration::from_millis(5);

/// How to start a relay, and the same one again after its end.
pub(super) struct Starter {
    program: PathBuf,
    options: Vec<OsString>,
    may_not_skip: bool,
    /// What is set in its environment: the options count more.
    variables: Vec<(&'static str, OsString)>,
    /// Where it serves.
    pub(super) address: SocketAddr,
    /// Where it answers for its health.
    pub(super) health: SocketAddr,
    /// Its files; they go with this.
    directory: TempDir,
}

impl Starter {
    /// A relay of `program` at free ports of loopback, with these `options` in addition.
    ///
    /// # Errors
    ///
    /// When there is no free port, or no directory for its files.
    pub(super) fn new(program: &Path, options: &[OsString], may_not_skip: bool) -> Result<Self> {
        let is_free = |port: &u16| UdpSocket::bind((HOST, *port)).is_ok() && TcpListener::bind((HOST, *port)).is_ok();
        // Below the ports that allocations get, and those that the system hands out.
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

    /// Sets the option whose environment variable is `name`, unless the user has set it.
    pub(super) fn set(&mut self, name: &'static str, value: impl Into<OsString>) {
        self.variables.push((name, value.into()));
    }

    /// Has it serve, and answer for its health, at `host` instead, in a network of this program's own.
    pub(super) const fn move_to(&mut self, host: IpAddr) {
        self.address.set_ip(host);
        self.health.set_ip(host);
    }

    /// Says that `what` is skipped since `why`.
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

    /// The path of its control endpoint, if that is asked for.
    pub(super) fn control(&self) -> PathBuf {
        self.directory.path().join("control.sock")
    }

    /// A file of its own directory.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The command that starts it; its log goes where ours goes.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear();
        let host = self.address.ip().to_string();
        command.args(["--public-ip4-addr", &host, "--bind-ip4-addr", &host, "--auth-secret", SECRET]);
        command.args(["--listen-port", &self.address.port().to_string()]);
        command.args(["--health-check-addr", &self.health.to_string()]);
        command.envs(self.variables.iter().map(|(name, value)| (name, value))).args(&self.options);
        // In a process group of its own: Ctrl-C reaches this program, which ends it.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub(super) fn start(&self) -> Result<Relay> {
        let mut relay = self.spawn()?;
        relay.wait_until_up()?;
        Ok(relay)
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub(super) fn spawn(&self) -> Result<Relay> {
        self.spawn_by(Started::spawn, self.command())
    }

    /// Has `spawn` run `command`, which is [`Self::command`] with changes.
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

/// A relay that runs, killed when dropped.
pub(super) struct Relay {
    /// Where it serves.
    pub(super) address: SocketAddr,
    /// Where it answers for its health.
    pub(super) health: SocketAddr,
    secret: AuthSecret,
    pub(super) process: Started,
}

impl Relay {
    /// Waits until it answers.
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
            // Nobody listens yet: an ICMP error comes back at once.
            if socket.send(&BINDING).and_then(|_| socket.recv(&mut [0; 64])).is_ok()
                && http::get(self.health, "/readyz").is_ok_and(|(status, _)| status == 200)
            {
                return Ok(());
            }
            thread::sleep(PAUSE);
        }
        bail!("the relay does not answer at {}", self.address)
    }

    /// An error if it has ended.
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

    /// The same, for those who sign by themselves.
    pub(super) fn minted(&self, user: usize) -> turn_auth::Credentials {
        turn_auth::Credentials::mint(&self.secret, EXPIRY, &format!("abuse{user}"))
    }

    /// A client at `host` with a user of its own.
    ///
    /// # Errors
    ///
    /// When there is no socket for it.
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

    /// What many clients at `host`, all of user number `user`, need to know.
    pub(super) fn server(&self, host: IpAddr, user: usize) -> Server {
        Server { address: self.address, credentials: self.credentials(user), from: host }
    }

    /// The memory that it occupies, in bytes.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub(super) fn resident(&self) -> Result<u64> {
        process::resident(self.process.id())
    }

    /// How many files it has open.
    ///
    /// # Errors
    ///
    /// When it is gone.
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

    /// Waits until the metric `name` is `value`, or some time has gone by: it is counted a little later than a client is answered.
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

    /// Ends it, in order.
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
