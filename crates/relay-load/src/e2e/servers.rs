//! The servers that are compared, each a process on loopback.

use std::{
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use turn_auth::{AuthSecret, UnixTime};
use turn_client::{BlockingClient, Credentials};

use crate::{client::Server, floor, started::Started};

/// The addresses of servers and clients. They differ, so that no port is in use twice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site {
    pub(super) server: IpAddr,
    pub(super) client: IpAddr,
}

const LOOPBACK: Site = Site { server: SERVER_IP, client: CLIENT_IP };

const SERVER_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
pub(super) const CLIENT_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1));
pub(super) const PEER_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 2, 1));

const SECRET: &str = "the-benchmarks-own-secret-for-this-machine-only";
const LOWEST_PORT: &str = "40000";
const HIGHEST_PORT: &str = "60999";
/// As many allocations as there are ports.
const MOST: &str = "20000";
/// How often to check whether a server is up, 100 ms apart.
const ATTEMPTS: u32 = 100;

/// A running process. It is ended on drop.
pub(super) struct Running {
    pub(super) name: String,
    process: Started,
    pub(super) server: Server,
}

impl Running {
    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    fn start(name: &str, mut command: Command, server: Server, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        Ok(Self { name: name.to_owned(), process: Started::spawn(&mut command)?, server })
    }

    /// Waits until it answers Binding requests.
    fn wait_until_up(mut self, log: &Path) -> Result<Self> {
        for _ in 0..ATTEMPTS {
            if let Some(status) = self.process.ended()? {
                let last = fs::read_to_string(log).unwrap_or_default();
                let last = last.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing").to_owned();
                bail!("{} ended with {status}; its log is {}; the last it said is: {last}", self.name, log.display());
            }
            let client = BlockingClient::connect(self.server.address, self.server.credentials.clone())?;
            if client.with_retransmission(Duration::from_millis(100), 1).mapped_address_soon().is_some() {
                return Ok(self);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("{} does not answer at {}; its log is {}", self.name, self.server.address, log.display());
    }
}

/// A Binding request with a short time-out.
trait Soon {
    fn mapped_address_soon(self) -> Option<SocketAddr>;
}

impl Soon for BlockingClient {
    fn mapped_address_soon(mut self) -> Option<SocketAddr> {
        self.mapped_address().ok()
    }
}

/// Starts servers.
pub(super) struct Starter {
    /// The binary of our relay.
    pub(super) relay: PathBuf,
    /// The binary of coturn, if it is compared.
    pub(super) coturn: Option<PathBuf>,
    /// Another build of our relay, if its ChannelData is compared.
    pub(super) other: Option<PathBuf>,
    pub(super) workers: usize,
    /// The directory of their logs.
    pub(super) logs: PathBuf,
}

impl Starter {
    /// Our relay and coturn.
    pub(super) fn all(&self) -> Result<Vec<Running>> {
        let mut all = vec![self.relay()?];
        if let Some(coturn) = &self.coturn {
            all.push(self.coturn_at(coturn, LOOPBACK)?);
        }
        Ok(all)
    }

    pub(super) fn relay(&self) -> Result<Running> {
        self.relay_with(self.workers)
    }

    /// Our relay with this number of workers.
    pub(super) fn relay_with(&self, workers: usize) -> Result<Running> {
        self.build("firezone-relay", &self.relay, workers, &[])
    }

    /// Our relay without indications.
    pub(super) fn relay_without_indications(&self) -> Result<Running> {
        self.build("indications off", &self.relay, self.workers, &["--indications", "off"])
    }

    /// The other build of our relay, if there is one.
    pub(super) fn other_relay(&self) -> Option<Result<Running>> {
        let other = self.other.as_ref()?;
        Some(self.build("other build", other, self.workers, &[]))
    }

    fn build(&self, name: &str, program: &Path, workers: usize, options: &[&str]) -> Result<Running> {
        self.build_at(name, program, workers, LOOPBACK, options)
    }

    /// Our relay with this name, in the calling thread's network.
    pub(super) fn relay_at(&self, name: &str, site: Site, options: &[&str]) -> Result<Running> {
        self.build_at(name, &self.relay, self.workers, site, options)
    }

    fn build_at(&self, name: &str, program: &Path, workers: usize, site: Site, options: &[&str]) -> Result<Running> {
        let (port, ip) = (free_port(site.server)?, site.server.to_string());
        let secret = AuthSecret::new(SECRET).context("the benchmark's secret")?;
        let minted = turn_auth::Credentials::mint(&secret, UnixTime(4_000_000_000), "load");
        let mut command = Command::new(program);
        command.env_clear().args(["--public-ip4-addr", &ip, "--bind-ip4-addr", &ip]);
        // Another build may take this for an interface's name, and on loopback it relays in user space anyway.
        if program == self.relay {
            command.env("EBPF_OFFLOADING", "off");
        }
        command.args(["--auth-secret", SECRET, "--listen-port", &port.to_string()]);
        command.args(["--lowest-port", LOWEST_PORT, "--highest-port", HIGHEST_PORT]);
        command.args(["--allocations-per-username", MOST, "--workers", &workers.to_string()]).args(options);
        let credentials = Credentials::new(minted.username, minted.password);
        self.start(name, command, site, port, credentials)
    }

    /// coturn, in the calling thread's network.
    pub(super) fn coturn_at(&self, program: &Path, site: Site) -> Result<Running> {
        let (port, ip) = (free_port(site.server)?, site.server.to_string());
        let mut command = Command::new(program);
        // No configuration file, no protocol but the measured one, and as many relay threads as our relay has.
        command.args(["-n", "--no-cli", "--no-tls", "--no-dtls", "--no-tcp", "--no-tcp-relay", "--no-multicast-peers"]);
        command.args(["--allow-loopback-peers", "-L", &ip, "-E", &ip, "-p", &port.to_string()]);
        command.args(["--min-port", LOWEST_PORT, "--max-port", HIGHEST_PORT, "-m", &self.workers.to_string()]);
        command.args([
            "--lt-cred-mech",
            "-u",
            "load:load",
            "-r",
            "load",
            "--log-file",
            "stdout",
            "--no-software-attribute",
        ]);
        command.args(["--pidfile", &self.logs.join("coturn.pid").to_string_lossy()]);
        self.start("coturn", command, site, port, Credentials::new("load", "load"))
    }

    /// A forwarder that sends to `peer`, and the address at which it receives.
    pub(super) fn floor(&self, peer: SocketAddr) -> Result<(Running, Vec<SocketAddr>)> {
        let running = self.forwarder("floor", peer, &[])?;
        let inlet = running.server.address;
        Ok((running, vec![inlet]))
    }

    /// A forwarder that sends to `peer` and does what any event loop with sockets for `clients` must do, and the addresses at which
    /// it receives: those of the clients' sockets if `inbound`, otherwise one for all.
    pub(super) fn event_loop(
        &self,
        peer: SocketAddr,
        clients: usize,
        inbound: bool,
    ) -> Result<(Running, Vec<SocketAddr>)> {
        let count = u16::try_from(clients).context("there are too many clients")?;
        let number = count.to_string();
        let mut options = vec!["--event-loop", &number];
        options.extend(inbound.then_some("--inbound"));
        let running = self.forwarder("event loop", peer, &options)?;
        let listen = running.server.address;
        let inlets = if inbound { floor::inbound_addresses(listen, count)? } else { vec![listen] };
        Ok((running, inlets))
    }

    fn forwarder(&self, name: &str, peer: SocketAddr, options: &[&str]) -> Result<Running> {
        let port = free_port(SERVER_IP)?;
        let listen = SocketAddr::new(SERVER_IP, port);
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["floor", "--listen", &listen.to_string(), "--to", &peer.to_string()]).args(options);
        let server = Server { address: listen, credentials: Credentials::new("", ""), from: CLIENT_IP };
        let running = Running::start(name, command, server, &self.logs.join(format!("{name}.log")))?;
        for _ in 0..ATTEMPTS {
            if UdpSocket::bind(listen).is_err() {
                return Ok(running);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("the forwarder does not listen at {listen}")
    }

    fn start(&self, name: &str, command: Command, site: Site, port: u16, credentials: Credentials) -> Result<Running> {
        let server = Server { address: SocketAddr::new(site.server, port), credentials, from: site.client };
        let log = self.logs.join(format!("{name}.log"));
        Running::start(name, command, server, &log)?.wait_until_up(&log)
    }
}

/// A port that is free now.
fn free_port(ip: IpAddr) -> Result<u16> {
    // Below the allocation ports, and below the ephemeral ports.
    let start = 10_000 + u16::try_from(std::process::id() % 15_000).unwrap_or_default();
    (start..30_000)
        .find(|port| UdpSocket::bind((ip, *port)).is_ok())
        .with_context(|| format!("no UDP port is free at {ip}"))
}
