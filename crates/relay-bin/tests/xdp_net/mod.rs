//! A relay in a network of its own: client, router, relay and peer, each in a network namespace, as in a cloud's network.
//!
//! ```text
//! client 10.1.0.1 ---- 10.1.0.254 router 10.3.0.254 ---- 10.3.0.1 peer
//!        fd01::1                 10.2.0.254                fd03::1
//!                                     |
//!                              10.2.0.1 relay
//!                               fd02::1
//! ```
//!
//! All that the relay sends goes back to the router that everything comes from.
#![allow(dead_code, reason = "each test file uses a part of this")]

pub(crate) mod peer;
pub(crate) mod summary;

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    process::{Command, Stdio},
};

use relay_ebpf::{AttachMode, Config, OffloadError, XdpProgram};
use test_support::{
    capability::available,
    namespace::{Namespace, ip, sysctl},
    relay::{Relay, SECRET, command, credentials},
};
use turn_client::BlockingClient;

pub(crate) const LISTEN_PORT: u16 = 3478;
pub(crate) const CLIENT: [&str; 2] = ["10.1.0.1", "fd01::1"];
pub(crate) const RELAY: [&str; 2] = ["10.2.0.1", "fd02::1"];
pub(crate) const PEER: [&str; 2] = ["10.3.0.1", "fd03::1"];
/// The relay's IPv4 address where the router translates.
pub(crate) const PUBLIC_V4: &str = "203.0.113.7";

/// A family, as an index of [`CLIENT`], [`RELAY`] and [`PEER`].
pub(crate) const V4: usize = 0;
/// See [`V4`].
pub(crate) const V6: usize = 1;

/// The interface of the relay.
pub(crate) const INTERFACE: &str = "eth0";

/// How the relay's program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Driver,
    Generic,
}

impl Mode {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Driver => "driver",
            Self::Generic => "generic",
        }
    }
}

/// The four namespaces.
pub(crate) struct Net {
    pub(crate) client: Namespace,
    pub(crate) router: Namespace,
    pub(crate) relay: Namespace,
    pub(crate) peer: Namespace,
    /// In driver mode: what a relay sends reaches the other end of its link only if that has a program, too.
    _passing: Option<XdpProgram>,
}

impl Net {
    /// Makes them; `None`, after saying why, where that cannot be done.
    pub(crate) fn new(mode: Mode) -> Option<Self> {
        available("xdp", Self::build(mode))
    }

    fn build(mode: Mode) -> Result<Self, String> {
        for program in ["ip", "ethtool"] {
            let starts = Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
            starts.map_err(|error| format!("cannot run {program} (`cargo xtask setup`): {error}"))?;
        }
        let (client, router) = (Namespace::new()?, Namespace::new()?);
        let (relay, peer) = (Namespace::new()?, Namespace::new()?);
        router.within(|| {
            sysctl("net.ipv4.ip_forward", "1");
            sysctl("net.ipv6.conf.all.forwarding", "1");
        });
        for (network, other, name) in [(1, &client, "client"), (2, &relay, "relay"), (3, &peer, "peer")] {
            let (router_v4, router_v6) = (format!("10.{network}.0.254"), format!("fd0{network}::254"));
            let router_addresses = [format!("{router_v4}/24"), format!("{router_v6}/64")];
            let addresses = [format!("10.{network}.0.1/24"), format!("fd0{network}::1/64")];
            router.connect(
                name,
                &router_addresses.each_ref().map(String::as_str),
                other,
                INTERFACE,
                &addresses.each_ref().map(String::as_str),
            );
            other.within(move || {
                ip(&format!("route add default via {router_v4}"));
                ip(&format!("-6 route add default via {router_v6}"));
            });
        }
        // Whether this machine can is found out here, even if the relay alone needs it.
        let config = Config { interfaces: vec!["relay".to_owned()], mode: AttachMode::Driver, ..Config::default() };
        let passing = router.within(move || match XdpProgram::load(&config) {
            Ok(mut passing) => {
                if mode == Mode::Driver {
                    passing.attach(&config).unwrap();
                }
                Ok(passing)
            }
            Err(error @ (OffloadError::NoProgram(_) | OffloadError::NotPermitted(..) | OffloadError::Kernel(_))) => {
                Err(error.to_string())
            }
            Err(error) => panic!("{error}: {error:?}"),
        })?;
        Ok(Self { client, router, relay, peer, _passing: (mode == Mode::Driver).then_some(passing) })
    }

    /// Has the router translate between the relay's IPv4 address and [`PUBLIC_V4`], as clouds do.
    pub(crate) fn translate(&self) {
        self.router.within(|| {
            let (public, private) = (PUBLIC_V4, RELAY[V4]);
            for line in [
                "add table ip nat".to_owned(),
                "add chain ip nat in { type nat hook prerouting priority dstnat; }".to_owned(),
                "add chain ip nat out { type nat hook postrouting priority srcnat; }".to_owned(),
                format!("add rule ip nat in ip daddr {public} dnat to {private}"),
                format!("add rule ip nat out ip saddr {private} snat to {public}"),
            ] {
                let output = Command::new("nft").arg(&line).output().unwrap();
                assert!(output.status.success(), "nft {line}: {}", String::from_utf8_lossy(&output.stderr));
            }
        });
    }

    /// Starts a relay that offloads, with these options in addition.
    pub(crate) fn start_relay(&self, mode: Mode, options: &[&str]) -> Relay {
        self.start_relay_known_as(RELAY[V4], mode, options)
    }

    /// The same, with another public IPv4 address.
    pub(crate) fn start_relay_known_as(&self, public_v4: &str, mode: Mode, options: &[&str]) -> Relay {
        let mut command = relay_command(public_v4, options);
        command.args(["--ebpf-offloading", INTERFACE, "--ebpf-attach-mode", mode.name()]);
        self.relay.within(move || Relay::spawn(&mut command, LISTEN_PORT))
    }

    /// A client with a username of its own that reaches the relay over this family.
    pub(crate) fn client(&self, family: usize, salt: &str) -> BlockingClient {
        self.client_of(RELAY[family], salt)
    }

    /// A client with a username of its own that reaches the relay at this address.
    pub(crate) fn client_of(&self, relay: &str, salt: &str) -> BlockingClient {
        let server = address(relay, LISTEN_PORT);
        let own = address(CLIENT[if server.is_ipv4() { V4 } else { V6 }], 0);
        let socket = self.client.within(move || {
            let socket = UdpSocket::bind(own).unwrap();
            socket.connect(server).unwrap();
            socket
        });
        BlockingClient::with_socket(socket, credentials(salt))
    }

    /// Whether an XDP program is on the relay's interface.
    pub(crate) fn has_program(&self) -> bool {
        self.relay.within(|| {
            let shown = Command::new("ip").args(["link", "show", "dev", INTERFACE]).output().unwrap();
            String::from_utf8(shown.stdout).unwrap().contains("prog/xdp")
        })
    }
}

/// A relay of both families, for the relay's namespace.
pub(crate) fn relay_command(public_v4: &str, options: &[&str]) -> Command {
    let mut command =
        command(["--auth-secret", SECRET, "--public-ip4-addr", public_v4, "--public-ip6-addr", RELAY[V6]]);
    // Where the public address is another one.
    command.args(["--allow-peer", "10.0.0.0/8"]);
    command.args(options);
    command
}

/// A transport address.
pub(crate) fn address(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse::<IpAddr>().unwrap(), port)
}
