//! Network namespaces for client, router, relay and peer, as in a cloud's network.
//!
//! ```text
//! client 10.1.0.1 ---- 10.1.0.254 router 10.3.0.254 ---- 10.3.0.1 peer
//!        fd01::1                 10.2.0.254                fd03::1
//!                                     |
//!                              10.2.0.1 relay
//!                               fd02::1
//! ```
//!
//! The relay sends everything to the router.
#![allow(dead_code, reason = "each test file uses a part of this")]

pub(crate) mod indications;
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
/// The relay's public IPv4 address if the router is a NAT.
pub(crate) const PUBLIC_V4: &str = "203.0.113.7";

/// IPv4, as an index of [`CLIENT`], [`RELAY`] and [`PEER`].
pub(crate) const V4: usize = 0;
/// IPv6, likewise.
pub(crate) const V6: usize = 1;

/// The relay's interface.
pub(crate) const INTERFACE: &str = "eth0";

/// How the relay attaches its program.
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
    /// In driver mode a veth delivers redirected packets only if its other end has a program, too.
    _passing: Option<XdpProgram>,
}

impl Net {
    /// Creates the namespaces. `None`, with a message, if that is not possible.
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
        // This also checks whether the machine can load the program, even if only the relay needs it.
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

    /// Makes the router a one-to-one NAT between [`PUBLIC_V4`] and the relay's IPv4 address, as in clouds.
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

    /// Starts a relay that offloads, with additional options.
    pub(crate) fn start_relay(&self, mode: Mode, options: &[&str]) -> Relay {
        self.start_relay_known_as(RELAY[V4], mode, options)
    }

    /// The same, with another public IPv4 address.
    pub(crate) fn start_relay_known_as(&self, public_v4: &str, mode: Mode, options: &[&str]) -> Relay {
        let mut command = relay_command(public_v4, options);
        command.args(["--ebpf-offloading", INTERFACE, "--ebpf-attach-mode", mode.name()]);
        self.relay.within(move || Relay::spawn(&mut command, LISTEN_PORT))
    }

    /// A client with its own username that reaches the relay over this family.
    pub(crate) fn client(&self, family: usize, salt: &str) -> BlockingClient {
        self.client_of(RELAY[family], salt)
    }

    /// A client with its own username that reaches the relay at this address.
    pub(crate) fn client_of(&self, relay: &str, salt: &str) -> BlockingClient {
        self.client_at(address(relay, LISTEN_PORT), salt)
    }

    /// The same at another port.
    pub(crate) fn client_at(&self, server: SocketAddr, salt: &str) -> BlockingClient {
        let own = address(CLIENT[if server.is_ipv4() { V4 } else { V6 }], 0);
        let socket = self.client.within(move || {
            let socket = UdpSocket::bind(own).unwrap();
            socket.connect(server).unwrap();
            socket
        });
        BlockingClient::with_socket(socket, credentials(salt))
    }

    /// Whether the relay's interface has an XDP program.
    pub(crate) fn has_program(&self) -> bool {
        self.relay.within(|| {
            let shown = Command::new("ip").args(["link", "show", "dev", INTERFACE]).output().unwrap();
            String::from_utf8(shown.stdout).unwrap().contains("prog/xdp")
        })
    }
}

/// The command for a relay with both families.
pub(crate) fn relay_command(public_v4: &str, options: &[&str]) -> Command {
    let mut command =
        command(["--auth-secret", SECRET, "--public-ip4-addr", public_v4, "--public-ip6-addr", RELAY[V6]]);
    // Needed if the public address is not in this range.
    command.args(["--allow-peer", "10.0.0.0/8"]);
    command.args(options);
    command
}

/// A transport address.
pub(crate) fn address(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse::<IpAddr>().unwrap(), port)
}
