//! A relay and the network that it shares with its clients.

use std::{
    net::SocketAddr,
    process::{Command, Output},
};

use test_support::{
    capability::available,
    http,
    namespace::{Namespace, ip},
    port::{free_port, free_tcp_address},
    program,
    relay::{Relay, SECRET, command},
};

/// The address of the interface in [`Place::with_interface`].
const ADDRESS: &str = "192.0.2.10";
/// The address of the interface in [`Place::with_ipv6_interface`].
const ADDRESS_V6: &str = "2001:db8::10";

/// The relay's options: here one user has many allocations.
const OPTIONS: [&str; 2] = ["--allocations-per-username", "100"];

/// `options`, with two workers unless they set another number.
fn with_workers<'a>(options: &[&'a str]) -> Vec<&'a str> {
    let workers = if options.contains(&"--workers") { &[][..] } else { &["--workers", "2"] };
    [&OPTIONS[..], workers, options].concat()
}

/// A relay and its network.
pub(crate) struct Place {
    pub(crate) relay: Relay,
    /// The relay's IPv4 address.
    pub(crate) host: &'static str,
    health: SocketAddr,
    /// The network namespace, if there is one. Dropped after the relay.
    namespace: Option<Namespace>,
}

impl Place {
    /// A relay on both loopback addresses.
    pub(crate) fn on_loopback(options: &[&str]) -> Self {
        let health = free_tcp_address();
        let health_text = health.to_string();
        let options = with_workers(options);
        let relay = Relay::start(&[&["--health-check-addr", &health_text], &options[..]].concat());
        Self { relay, host: "127.0.0.1", health, namespace: None }
    }

    /// A relay on an Ethernet interface in a network namespace with a default route, for clients that do not use loopback. `None`,
    /// with a message, if that is not possible.
    pub(crate) fn with_interface(options: &[&str]) -> Option<Self> {
        let namespace = namespace()?;
        namespace.within(|| {
            // The other end is not used: the clients are in this namespace.
            ip("link add eth0 type veth peer name eth1");
            ip(&format!("addr add {ADDRESS}/24 dev eth0"));
            ip("link set eth0 up");
            ip("link set eth1 up");
            ip("route add default via 192.0.2.1");
        });
        Some(Self::within_namespace(namespace, ADDRESS, &["--public-ip4-addr", ADDRESS], options))
    }

    /// A relay on the IPv4 loopback address of a network namespace, for recordings: they contain all addresses of the machine.
    /// `None`, with a message, if that is not possible.
    pub(crate) fn on_own_loopback(options: &[&str]) -> Option<Self> {
        let addresses = ["--public-ip4-addr", "127.0.0.1"];
        Some(Self::within_namespace(namespace()?, "127.0.0.1", &addresses, options))
    }

    /// A relay as in [`Self::with_interface`], but with IPv6 only.
    pub(crate) fn with_ipv6_interface(options: &[&str]) -> Option<Self> {
        let namespace = namespace()?;
        namespace.within(|| {
            ip("link add eth0 type veth peer name eth1");
            ip(&format!("addr add {ADDRESS_V6}/64 dev eth0 nodad"));
            ip("link set eth0 up");
            ip("link set eth1 up");
            ip("route add default via 2001:db8::1");
        });
        Some(Self::within_namespace(namespace, "[2001:db8::10]", &["--public-ip6-addr", ADDRESS_V6], options))
    }

    fn within_namespace(namespace: Namespace, host: &'static str, addresses: &[&str], options: &[&str]) -> Self {
        let (port, health) = (free_port(), SocketAddr::from(([127, 0, 0, 1], 8080)));
        let (port_text, health_text) = (port.to_string(), health.to_string());
        let mut command = command(["--auth-secret", SECRET, "--listen-port", &port_text]);
        command.args(addresses).args(["--health-check-addr", &health_text]).args(with_workers(options));
        let relay = namespace.within(move || Relay::spawn(&mut command, port));
        Self { relay, host, health, namespace: Some(namespace) }
    }

    /// Ends the relay, then its network.
    pub(crate) fn stop(self) {
        let Self { relay, namespace: _network, .. } = self;
        relay.stop();
    }

    /// Runs `job` in the relay's network.
    pub(crate) fn within<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        match &self.namespace {
            Some(namespace) => namespace.within(job),
            None => job(),
        }
    }

    /// Runs a program in the relay's network for at most two minutes. Returns its result and everything that it printed.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> (Output, String) {
        let program = program.to_owned();
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        self.within(move || program::run(&program, arguments))
    }

    /// Starts a program in the relay's network.
    pub(crate) fn spawn(&self, mut command: Command) -> std::process::Child {
        self.within(move || command.spawn().unwrap())
    }

    /// The value of a metric with its labels, such as `dropped_datagrams_total{reason="no_channel"}`; 0 if there is none.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let health = self.health;
        let (_, metrics) = self.within(move || http::get(health, "/metrics"));
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or(0)
    }
}

/// A network namespace; `None`, with a message, if that is not possible.
fn namespace() -> Option<Namespace> {
    available("netns", Namespace::new())
}
