//! Two network namespaces: one for the relay's machine, one for its clients and their peers.
//!
//! ```text
//! host 10.9.0.1 ---- 10.9.0.2 outside
//!      fd09::1       fd09::2
//! ```

use std::{
    io::ErrorKind::{Interrupted, TimedOut, WouldBlock},
    net::{SocketAddr, UdpSocket},
    process::{Command, Stdio},
    time::Duration,
};

use test_support::{
    capability::{available, can},
    http,
    namespace::{Namespace, ip},
    relay::{ALONE, Relay, SECRET, command, credentials},
};
use turn_client::{Allocate, BlockingClient};

pub(crate) const LISTEN_PORT: u16 = 3478;
pub(crate) const HOST: &str = "10.9.0.1";
pub(crate) const OUTSIDE: &str = "10.9.0.2";
pub(crate) const HEALTH: &str = "127.0.0.1:8080";
pub(crate) const CHANNEL: u16 = 0x4001;

/// Both machines.
pub(crate) struct Net {
    pub(crate) host: Namespace,
    pub(crate) outside: Namespace,
}

impl Net {
    /// Creates both machines and connects them. `None`, with a message, if that is not possible.
    pub(crate) fn new() -> Option<Self> {
        let net = Self::apart()?;
        net.join();
        Some(net)
    }

    /// Creates both machines without a connection.
    pub(crate) fn apart() -> Option<Self> {
        let make = || -> Result<Self, String> {
            Command::new("ip").arg("-V").output().map_err(|error| format!("cannot run ip: {error}"))?;
            Ok(Self { host: Namespace::new()?, outside: Namespace::new()? })
        };
        available("netns", make())
    }

    /// Connects the machines.
    pub(crate) fn join(&self) {
        let host = [&format!("{HOST}/24"), "fd09::1/64"];
        self.host.link("eth0", &host, &self.outside, "eth0", &[&format!("{OUTSIDE}/24"), "fd09::2/64"]);
        self.host.within(|| {
            ip(&format!("route add default via {OUTSIDE}"));
            ip("-6 route add default via fd09::2");
        });
        // The outside machine reaches any address of the host.
        self.outside.within(|| ip(&format!("route add default via {HOST}")));
    }

    /// Runs `ip` on the host, such as with `addr add 10.9.0.7/24 dev eth0`.
    pub(crate) fn ip(&self, arguments: &str) {
        let arguments = arguments.to_owned();
        self.host.within(move || ip(&arguments));
    }

    /// Starts a relay on the host with [`HEALTH`] as health endpoint, and waits until it is ready.
    pub(crate) fn start(&self, options: &[&str]) -> Relay {
        let mut command = relay_command(options);
        self.host.within(move || Relay::spawn(&mut command, LISTEN_PORT))
    }

    /// Starts a relay without waiting.
    pub(crate) fn start_silent(&self, options: &[&str]) -> Relay {
        let mut command = relay_command(options);
        self.host.within(move || Relay::spawn_silent(&mut command, LISTEN_PORT))
    }

    /// Starts a relay that may open no sockets of this address family, such as `AF_NETLINK`, and waits until it is ready. `None`,
    /// with a message, if that is not possible.
    pub(crate) fn start_without(&self, family: i32, options: &[&str]) -> Option<Relay> {
        const PYTHON: &str = "/usr/bin/python3";
        let present = std::path::Path::new(PYTHON).exists();
        if !can("python3", present, "there is no /usr/bin/python3 to forbid sockets with (`cargo xtask setup`)") {
            return None;
        }
        let relay = relay_command(options);
        let mut command = Command::new(PYTHON);
        command.env_clear().envs(ALONE).args(["-c", include_str!("without_sockets.py"), &family.to_string()]);
        command.arg(relay.get_program()).args(relay.get_args());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Some(self.host.within(move || Relay::spawn(&mut command, LISTEN_PORT)))
    }

    /// A client outside with its own username, for the relay at this address.
    pub(crate) fn client(&self, relay: &str, salt: &str) -> BlockingClient {
        self.client_at(address(relay, LISTEN_PORT), salt)
    }

    /// The same, at another port of the relay.
    pub(crate) fn client_at(&self, server: SocketAddr, salt: &str) -> BlockingClient {
        let socket = self.outside.within(move || {
            let socket = UdpSocket::bind(if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).unwrap();
            socket.connect(server).unwrap();
            socket
        });
        BlockingClient::with_socket(socket, credentials(salt))
    }

    /// Allocates once. Returns the relayed transport address, or the error code.
    pub(crate) fn allocation(&self, relay: &str, salt: &str) -> Result<SocketAddr, Option<u16>> {
        let allocated = self.client(relay, salt).allocate(Allocate::default());
        allocated.map(|allocated| allocated.relayed[0]).map_err(|error| error.code())
    }

    /// A socket outside, for a peer.
    pub(crate) fn peer(&self) -> UdpSocket {
        self.peer_at(OUTSIDE)
    }

    /// The same, at another address outside.
    pub(crate) fn peer_at(&self, ip: &'static str) -> UdpSocket {
        patient(self.outside.within(move || UdpSocket::bind((ip, 0)).unwrap()))
    }

    /// A socket on the host, for a peer that is another program of that machine.
    pub(crate) fn neighbour(&self, port: u16) -> UdpSocket {
        patient(self.host.within(move || UdpSocket::bind((HOST, port)).unwrap()))
    }

    /// The status code and body of `/readyz`.
    pub(crate) fn readiness(&self) -> (u16, String) {
        self.host.within(|| http::get(HEALTH.parse().unwrap(), "/readyz"))
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.readiness().0 == 200
    }
}

fn relay_command(options: &[&str]) -> Command {
    let mut command = command(["--auth-secret", SECRET, "--health-check-addr", HEALTH, "--workers", "2"]);
    command.args(options);
    command
}

/// Sets a short time-out, for retries while the network changes.
fn patient(socket: UdpSocket) -> UdpSocket {
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket
}

/// Sends data on [`CHANNEL`]. Returns the source address at `peer`, if the data arrives.
pub(crate) fn source(client: &mut BlockingClient, peer: &UdpSocket) -> Option<SocketAddr> {
    client.send(CHANNEL, b"data").unwrap();
    match peer.recv_from(&mut [0; 100]) {
        Ok((_, from)) => Some(from),
        // After a signal, the kernel does not restart a receive call with a time-out (`signal(7)`).
        Err(error) if matches!(error.kind(), WouldBlock | TimedOut | Interrupted) => None,
        Err(error) => panic!("{error}"),
    }
}

/// A transport address.
pub(crate) fn address(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}
