//! Two network namespaces: a relay's machine on the Internet, which is also in a private network, and a machine outside.
//!
//! ```text
//! inside 10.7.0.2 ---- 10.7.0.1 host 198.45.1.1 ---- 198.45.1.2 outside
//!                                  2a00:1::1         2a00:1::2
//! ```

use std::{
    net::{SocketAddr, UdpSocket},
    process::Command,
    time::Duration,
};

use test_support::{
    capability::available,
    http,
    namespace::{Namespace, ip},
    relay::{Relay, SECRET, command, credentials},
};
use turn_client::BlockingClient;

pub(crate) const LISTEN_PORT: u16 = 3478;
pub(crate) const HOST: &str = "198.45.1.1";
pub(crate) const HOST_V6: &str = "2a00:1::1";
/// The host's address in the private network.
pub(crate) const INSIDE: &str = "10.7.0.1";
pub(crate) const OUTSIDE: &str = "198.45.1.2";
const HEALTH: &str = "127.0.0.1:8080";

/// Both machines.
pub(crate) struct Net {
    host: Namespace,
    outside: Namespace,
}

impl Net {
    /// Creates both machines and connects them. `None`, with a message, if that is not possible.
    pub(crate) fn new() -> Option<Self> {
        let make = || -> Result<Self, String> {
            Command::new("ip").arg("-V").output().map_err(|error| format!("cannot run ip: {error}"))?;
            Ok(Self { host: Namespace::new()?, outside: Namespace::new()? })
        };
        let net = available("netns", make())?;
        let host = [format!("{HOST}/24"), format!("{HOST_V6}/64")];
        net.host.link(
            "eth0",
            &host.each_ref().map(String::as_str),
            &net.outside,
            "eth0",
            &[&format!("{OUTSIDE}/24"), "2a00:1::2/64"],
        );
        net.host.within(|| {
            ip("link add eth1 type veth peer name eth2");
            ip(&format!("addr add {INSIDE}/24 dev eth1"));
            ip("link set eth1 up");
            ip("link set eth2 up");
            ip(&format!("route add default via {OUTSIDE}"));
        });
        Some(net)
    }

    /// Starts a relay on the host and waits until it is ready.
    pub(crate) fn start(&self, options: &[&str]) -> Relay {
        let own = ["--auth-secret", SECRET, "--health-check-addr", HEALTH, "--workers", "2"];
        let public = ["--public-ip4-addr", HOST, "--public-ip6-addr", HOST_V6];
        let mut command = command([&own[..], &public, options].concat());
        self.host.within(move || Relay::spawn(&mut command, LISTEN_PORT))
    }

    /// A client outside with its own username.
    pub(crate) fn client(&self, at: &str, salt: &str) -> BlockingClient {
        client(&self.outside, address(at, 0), salt)
    }

    /// A client on the relay's machine, at this address.
    pub(crate) fn client_on_the_host(&self, at: SocketAddr, salt: &str) -> BlockingClient {
        client(&self.host, at, salt)
    }

    /// A peer outside.
    pub(crate) fn peer(&self) -> UdpSocket {
        bound(&self.outside, address(OUTSIDE, 0))
    }

    /// A socket of another program on the relay's machine.
    pub(crate) fn service(&self, at: SocketAddr) -> UdpSocket {
        bound(&self.host, at)
    }

    /// The value of a metric, such as `peers_refused_total{reason="private"}`.
    pub(crate) fn metric(&self, name: &str) -> Option<u64> {
        let (_, text) = self.host.within(|| http::get(HEALTH.parse().unwrap(), "/metrics"));
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        Some(value.parse().unwrap())
    }
}

fn client(within: &Namespace, at: SocketAddr, salt: &str) -> BlockingClient {
    let socket = within.within(move || {
        let socket = UdpSocket::bind(at).unwrap();
        socket.connect(address(HOST, LISTEN_PORT)).unwrap();
        socket
    });
    BlockingClient::with_socket(socket, credentials(salt))
}

/// A socket with a short time-out.
fn bound(within: &Namespace, at: SocketAddr) -> UdpSocket {
    let socket = within.within(move || UdpSocket::bind(at).unwrap());
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    socket
}

/// A transport address.
pub(crate) fn address(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}
