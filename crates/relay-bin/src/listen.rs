//! Binds the listening sockets, and finds out early what would fail later.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
};

use anyhow::bail;
use relay_server::PortRange;
use socket2::Socket;

use crate::{
    addresses::FamilyAddresses,
    option_names::{HIGHEST_PORT, LISTEN_PORT, LOWEST_PORT},
    socket::{self, Role},
};

/// A socket bound to the listening port, and what it is for.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) socket: Socket,
    pub(crate) role: Role,
}

/// The listening sockets of each worker.
///
/// # Errors
///
/// When a port is taken or an address cannot be used; the message says what to do.
pub(crate) fn bind(
    served: &[FamilyAddresses],
    listen_port: u16,
    workers: NonZeroUsize,
) -> anyhow::Result<Vec<Vec<Listening>>> {
    let addresses: Vec<SocketAddr> =
        families(served).map(|family| SocketAddr::new(family.listen, listen_port)).collect();
    // The workers' sockets share the port, and would share it with any other program of this user that allows it, each getting
    // some of the clients. So first try without sharing. Whoever binds between this and what follows is not noticed: the
    // kernel has no way to do both in one step.
    for address in &addresses {
        socket::bind(*address, Role::Probe).map_err(|error| cannot_listen(*address, &error))?;
    }
    let mut workers: Vec<Vec<Listening>> = (0..workers.get()).map(|_| Vec::new()).collect();
    for address in addresses {
        bind_at(address, &mut workers).map_err(|error| cannot_listen(address, &error))?;
    }
    let clipped = |listening: &Listening| socket::clipped(&listening.socket, listening.role);
    if let Some((actual, wanted)) = workers.iter().flatten().find_map(clipped) {
        tracing::warn!(
            actual,
            wanted,
            "the kernel limits receive buffers: bursts will be lost; raise it with \
             `sysctl net.core.rmem_max={wanted} net.core.wmem_max={wanted}`"
        );
    }
    Ok(workers)
}

/// Binds sockets to one address for each of `workers`.
///
/// # Errors
///
/// When the address is taken or cannot be used.
pub(crate) fn bind_at(address: SocketAddr, workers: &mut [Vec<Listening>]) -> io::Result<()> {
    const APART: [Role; socket::SOCKETS_PER_WORKER] = [Role::Requests, Role::Data];
    let first = socket::bind(address, APART[0])?;
    let roles = match socket::attach_selector(&first, address.ip(), workers.len()) {
        Ok(()) => &APART[..],
        Err(error) => {
            tracing::warn!(
                %error,
                "the kernel does not let this process say which socket gets what: a flood of requests will cost clients \
                 packets (if a seccomp profile forbids setsockopt SO_ATTACH_REUSEPORT_CBPF, allow it)"
            );
            &[Role::Everything]
        }
    };
    let mut first = Some(first);
    for worker in workers {
        // The kernel numbers them in the order in which they are bound.
        for role in roles {
            let socket = match first.take() {
                Some(first) => first,
                None => socket::bind(address, *role)?,
            };
            worker.push(Listening { socket, role: *role });
        }
    }
    Ok(())
}

/// The families to serve: those that the kernel has, and all if it has none, so that the error is told. Of one that it lacks, as
/// with `ipv6.disable=1`, a warning is told when the machine's addresses are looked at.
fn families(served: &[FamilyAddresses]) -> impl Iterator<Item = &FamilyAddresses> {
    let is_there = |family: &FamilyAddresses| socket::is_supported(family.listen);
    let none_is = !served.iter().any(is_there);
    served.iter().filter(move |family| none_is || is_there(family))
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

/// Makes sure that every worker can open at least one port of its own.
///
/// # Errors
///
/// When one cannot, because other programs hold all of them or the address is of no use.
pub(crate) fn check_allocation_ports(served: &[FamilyAddresses], ports: PortRange) -> anyhow::Result<()> {
    for family in families(served) {
        check_ports(family.relay, ports)?;
    }
    Ok(())
}

fn check_ports(address: IpAddr, ports: PortRange) -> anyhow::Result<()> {
    for port in ports.iter() {
        let address = SocketAddr::new(address, port.get());
        match socket::bind(address, Role::Probe) {
            Ok(_) => return Ok(()),
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
    use std::net::{Ipv4Addr, UdpSocket};

    use super::*;

    /// A socket at a port whose successor is free as well, and that port.
    fn held() -> (UdpSocket, u16) {
        loop {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = socket.local_addr().unwrap().port();
            if port < u16::MAX && UdpSocket::bind((Ipv4Addr::LOCALHOST, port + 1)).is_ok() {
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
}
