//! A path with a narrow second link, in network namespaces.
//!
//! ```text
//! host 10.9.0.1 ---- 10.9.0.2 router 10.8.0.1 --(NARROW)-- 10.8.0.2 far
//!      fd09::1       fd09::2         fd08::1               fd08::2
//! ```

use std::{
    net::{SocketAddr, UdpSocket},
    process::Command,
};

use test_support::{
    PATIENCE,
    capability::available,
    namespace::{Namespace, ip, sysctl},
    relay::{Relay, SECRET, command},
};

use crate::client::Client;

const LISTEN_PORT: u16 = 3478;
const HOST: &str = "10.9.0.1";
const FAR: &str = "10.8.0.2";
pub(crate) const HOST_V6: &str = "fd08::2";
/// The MTU of the second link, in bytes. IPv6 allows no less.
pub(crate) const NARROW: u32 = 1_280;

pub(crate) struct Path {
    host: Namespace,
    /// Keeps the router's namespace alive.
    _router: Namespace,
    far: Namespace,
}

impl Path {
    /// Creates the path. `None`, with a message, if that is not possible.
    pub(crate) fn new() -> Option<Self> {
        let make = || -> Result<_, String> {
            Command::new("ip").arg("-V").output().map_err(|error| format!("cannot run ip: {error}"))?;
            Ok((Namespace::new()?, Namespace::new()?, Namespace::new()?))
        };
        let (host, router, far) = available("netns", make())?;
        host.link("eth0", &["10.9.0.1/24", "fd09::1/64"], &router, "eth0", &["10.9.0.2/24", "fd09::2/64"]);
        router.link("eth1", &["10.8.0.1/24", "fd08::1/64"], &far, "eth0", &["10.8.0.2/24", "fd08::2/64"]);
        router.within(|| {
            sysctl("net.ipv4.ip_forward", "1");
            sysctl("net.ipv6.conf.all.forwarding", "1");
            // One error for each datagram.
            sysctl("net.ipv4.icmp_ratelimit", "0");
            sysctl("net.ipv6.icmp.ratelimit", "0");
            ip(&format!("link set eth1 mtu {NARROW}"));
            ip("route add unreachable 10.7.0.0/24");
            ip("-6 route add unreachable fd07::/64");
        });
        far.within(|| {
            ip(&format!("link set eth0 mtu {NARROW}"));
            ip("route add default via 10.8.0.1");
            ip("-6 route add default via fd08::1");
        });
        host.within(|| {
            ip("route add default via 10.9.0.2");
            ip("-6 route add default via fd09::2");
        });
        Some(Self { host, _router: router, far })
    }

    /// Starts a relay on the host.
    pub(crate) fn relay(&self) -> Relay {
        let mut command = command(["--auth-secret", SECRET, "--workers", "1"]);
        self.host.within(move || Relay::spawn(&mut command, LISTEN_PORT))
    }

    /// A client on the same host, so that only data to peers takes the path.
    pub(crate) fn client(&self) -> Client {
        self.host.within(|| {
            let socket = UdpSocket::bind((HOST, 0)).unwrap();
            Client::with_socket(socket, SocketAddr::new(HOST.parse().unwrap(), LISTEN_PORT))
        })
    }

    /// A peer at the end of the path.
    pub(crate) fn far(&self) -> UdpSocket {
        self.far_at(FAR)
    }

    pub(crate) fn far_at(&self, address: &'static str) -> UdpSocket {
        let socket = self.far.within(move || UdpSocket::bind((address, 0)).unwrap());
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// Unreachable peers, with type and code of the ICMP error about each.
    pub(crate) fn unreachable(&self) -> [(SocketAddr, u8, u8); 4] {
        let at = |text: &str| text.parse().unwrap();
        // A host where the port is closed, and a router without a route.
        [(at("10.8.0.2:9"), 3, 3), (at("10.7.0.1:9"), 3, 1), (at("[fd08::2]:9"), 1, 4), (at("[fd07::1]:9"), 1, 0)]
    }

    /// Makes the first link narrow, too.
    pub(crate) fn narrow_first_link(&self, mtu: u32) {
        self.host.within(move || ip(&format!("link set eth0 mtu {mtu}")));
    }
}
