//! Binds the listening sockets, and checks at the start what would fail later.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    os::fd::OwnedFd,
};

use anyhow::bail;
use relay_server::PortRange;
use serde::{Deserialize, Serialize};
use udp_batch::{Config, Pattern, Selector, UdpSocket};

use crate::{
    addresses::FamilyAddresses,
    option_names::{HIGHEST_PORT, LISTEN_PORT, LOWEST_PORT},
};

/// The listening sockets of a worker at each address: one for requests and one for application data. So a flood of requests from
/// strangers does not fill the receive buffer of clients in use.
///
/// A client's data may therefore be read before the request that permits it: [`crate::shard`] keeps such data.
pub(crate) const SOCKETS_PER_WORKER: usize = 2;

/// The first bytes of application data: a channel number
/// ([RFC 8656, section 12.4](https://www.rfc-editor.org/rfc/rfc8656#section-12.4)), or the type of a Send indication
/// ([RFC 8656, section 17](https://www.rfc-editor.org/rfc/rfc8656#section-17)).
const DATA: &[Pattern] = &[Pattern::first_byte(0b1100_0000, 0b0100_0000), Pattern::first_two_bytes(0xFFFF, 0x0016)];

/// The size of a listening socket's send and receive buffer, in bytes.
pub(crate) const BUFFER_SIZE: usize = 8 * 1024 * 1024;

/// A socket bound to the listening port, with its role.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) socket: UdpSocket,
    pub(crate) role: Role,
}

/// What a listening socket receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Requests, and datagrams that are neither requests nor data.
    Requests,
    /// Application data.
    Data,
    /// Both.
    Everything,
}

impl Role {
    fn bind(self, address: SocketAddr) -> io::Result<UdpSocket> {
        UdpSocket::bind(address, &self.config())
    }

    /// A socket of this role that another process has bound.
    ///
    /// # Errors
    ///
    /// When it cannot be used here.
    pub(crate) fn adopt(self, socket: OwnedFd) -> io::Result<Listening> {
        Ok(Listening { socket: UdpSocket::from_std(socket.into(), &self.config())?, role: self })
    }

    fn config(self) -> Config {
        // No GRO for requests: they are expensive, and thousands in one turn would delay everything else.
        let gro = self != Self::Requests;
        Config { reuse_port: true, buffer_size: Some(BUFFER_SIZE), gro, ..Config::default() }
    }
}

/// Binds the listening sockets of each worker. `key` decides which worker serves which client, and must be secret.
///
/// # Errors
///
/// When a port is taken or an address cannot be used; the message says what to do.
pub(crate) fn bind(
    served: &[FamilyAddresses],
    listen_port: u16,
    workers: NonZeroUsize,
    key: u64,
) -> anyhow::Result<Vec<Vec<Listening>>> {
    let addresses: Vec<SocketAddr> =
        families(served).map(|family| SocketAddr::new(family.listen, listen_port)).collect();
    // The workers' sockets share the port. They would also share it with another program of this user that permits it, and each
    // would get some of the clients. So first try to bind without sharing. A program that binds in between is not noticed: the
    // kernel has no way to do both in one step.
    for address in &addresses {
        bind_alone(*address).map_err(|error| cannot_listen(*address, &error))?;
    }
    let mut workers: Vec<Vec<Listening>> = (0..workers.get()).map(|_| Vec::new()).collect();
    for address in addresses {
        bind_at(address, key, &mut workers).map_err(|error| cannot_listen(address, &error))?;
    }
    let clipped =
        |listening: &Listening| listening.socket.receive_buffer_size().ok().filter(|size| *size < BUFFER_SIZE);
    if let Some(actual) = workers.iter().flatten().find_map(clipped) {
        let wanted = BUFFER_SIZE;
        tracing::warn!(
            actual,
            wanted,
            "the kernel limits receive buffers: bursts will be lost; raise it with \
             `sysctl net.core.rmem_max={wanted} net.core.wmem_max={wanted}`"
        );
    }
    Ok(workers)
}

/// Binds sockets to one address for each of `workers`. `key` decides which worker serves which client.
///
/// # Errors
///
/// When the address is taken or cannot be used.
pub(crate) fn bind_at(address: SocketAddr, key: u64, workers: &mut [Vec<Listening>]) -> io::Result<()> {
    // Datagrams that match no pattern go to the first role of a worker.
    const APART: [Role; SOCKETS_PER_WORKER] = [Role::Requests, Role::Data];
    let first = APART[0].bind(address)?;
    let (roles, mut first) = match first.attach_selector(&Selector { groups: workers.len(), key, apart: DATA }) {
        Ok(()) => (&APART[..], Some(first)),
        Err(error) => {
            tracing::warn!(
                %error,
                "the kernel does not let this process say which socket gets what: a flood of requests will cost clients \
                 packets (if a seccomp profile forbids setsockopt SO_ATTACH_REUSEPORT_CBPF, allow it)"
            );
            // The socket is bound for requests, and would get a part of all datagrams.
            drop(first);
            (&[Role::Everything][..], None)
        }
    };
    for worker in workers {
        // The kernel numbers the sockets in the order in which they are bound.
        for role in roles {
            let socket = match first.take() {
                Some(first) => first,
                None => role.bind(address)?,
            };
            worker.push(Listening { socket, role: *role });
        }
    }
    Ok(())
}

/// The families to serve: those that the kernel supports. All, if it supports none, so that binding reports the error. For a family
/// that it lacks, as with `ipv6.disable=1`, a warning is logged when the machine's addresses are read.
fn families(served: &[FamilyAddresses]) -> impl Iterator<Item = &FamilyAddresses> {
    let is_there = |family: &FamilyAddresses| udp_batch::is_family_supported(family.listen);
    let none_is = !served.iter().any(is_there);
    served.iter().filter(move |family| none_is || is_there(family))
}

/// Checks that `address` can be used and is free.
fn bind_alone(address: SocketAddr) -> io::Result<()> {
    UdpSocket::bind(address, &Config::default()).map(drop)
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "cannot listen on udp {address}: another program holds the port: stop it (`ss -lunp` tells which it is) or choose \
             another port with {LISTEN_PORT}"
        ),
        io::ErrorKind::PermissionDenied => anyhow::anyhow!(
            "cannot listen on udp {address}: no permission: choose a port from 1024 on with {LISTEN_PORT}, or grant \
             CAP_NET_BIND_SERVICE"
        ),
        _ => anyhow::anyhow!(
            "cannot listen on udp {address}: {error}: check the --bind-… and --public-… addresses of that family"
        ),
    }
}

/// Checks that at least one allocation port can be bound in each family.
///
/// # Errors
///
/// When other programs hold all ports, or the address cannot be used.
pub(crate) fn check_allocation_ports(served: &[FamilyAddresses], ports: PortRange) -> anyhow::Result<()> {
    for family in families(served) {
        check_ports(family.relay, ports)?;
    }
    Ok(())
}

fn check_ports(address: IpAddr, ports: PortRange) -> anyhow::Result<()> {
    for port in ports.iter() {
        let address = SocketAddr::new(address, port.get());
        match bind_alone(address) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => bail!(
                "cannot relay from udp {address}: {error}: check the --bind-… and --public-… addresses of that family, and \
                 {LOWEST_PORT}"
            ),
        }
    }
    bail!(
        "other programs hold all allocation ports from {} to {} at {address}: stop them (`ss -lunp` tells which they are) or \
         move {LOWEST_PORT} and {HIGHEST_PORT}",
        ports.lowest(),
        ports.highest()
    )
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// A bound socket and its port. The next port is free.
    fn held() -> (std::net::UdpSocket, u16) {
        loop {
            let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = socket.local_addr().unwrap().port();
            if port < u16::MAX && std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, port + 1)).is_ok() {
                return (socket, port);
            }
        }
    }

    #[test]
    fn a_port_that_is_free_is_enough() {
        let (_socket, port) = held();
        let localhost = Ipv4Addr::LOCALHOST.into();
        check_ports(localhost, PortRange::new(port, port + 1).unwrap()).unwrap();
        let error = check_ports(localhost, PortRange::new(port, port).unwrap()).unwrap_err().to_string();
        assert!(error.contains(&port.to_string()) && error.contains("LOWEST_PORT"), "{error}");
    }
    #[test]
    fn requests_and_data_arrive_at_sockets_of_their_own() {
        const WORKERS: usize = 3;
        let address = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut workers = [(); WORKERS].map(|()| Vec::new());
        bind_at(address, 7, &mut workers).unwrap();
        let mut reached = [0; WORKERS];
        for _ in 0..60 {
            let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            let target = |datagram: &[u8]| {
                client.send_to(datagram, address).unwrap();
                arrival(&workers)
            };
            let (worker, role) = target(&[0x00, 0x03]);
            assert_eq!(role, Role::Requests);
            for data in [[0x40, 0x00], [0x4F, 0xFF], [0x7F, 0xFF], [0x00, 0x16]] {
                assert_eq!(target(&data), (worker, Role::Data), "{data:#x?}");
            }
            for other in [[0x01, 0x16], [0x00, 0x17], [0x00, 0x11], [0x3F, 0xFF], [0x80, 0x00]] {
                assert_eq!(target(&other), (worker, Role::Requests), "{other:#x?}");
            }
            assert_eq!(target(&[]).1, Role::Requests);
            reached[worker] += 1;
        }
        assert!(reached.iter().all(|clients| *clients > 0), "{reached:?}");
    }

    /// The worker and the role of the socket at which a datagram arrived.
    fn arrival(workers: &[Vec<Listening>]) -> (usize, Role) {
        let mut buffers = udp_batch::ReceiveBuffers::new();
        // Loopback has delivered it when the send call returns.
        for (number, worker) in workers.iter().enumerate() {
            if let Some(listening) = worker.iter().find(|listening| listening.socket.receive((), &mut buffers).is_ok())
            {
                return (number, listening.role);
            }
        }
        panic!("it did not arrive");
    }
}
