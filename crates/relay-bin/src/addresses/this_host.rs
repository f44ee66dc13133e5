//! Reads the addresses of the machine that this process runs on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::{
    ifaddrs::{InterfaceAddress, getifaddrs},
    net::if_::InterfaceFlags,
};

use super::{Host, Network, proc};

/// This machine's addresses at one time.
#[derive(Clone, Debug)]
pub(crate) struct ThisHost {
    /// `None` if the system does not list them.
    networks: Option<Vec<Network>>,
}

impl ThisHost {
    /// Reads the addresses with `getifaddrs`. It uses netlink, which a sandbox may forbid: the files below `/proc` are the
    /// fallback.
    pub(crate) fn look() -> Self {
        Self { networks: interfaces().or_else(proc::networks) }
    }

    /// Whether the system lists its addresses.
    pub(crate) const fn can_list(&self) -> bool {
        self.networks.is_some()
    }
}

impl Host for ThisHost {
    fn networks(&self) -> &[Network] {
        self.networks.as_deref().unwrap_or_default()
    }

    fn route_source_v4(&self) -> Option<Ipv4Addr> {
        match route_source((Ipv4Addr::new(8, 8, 8, 8), 53).into())? {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }
    }

    fn route_source_v6(&self) -> Option<Ipv6Addr> {
        let far = Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888);
        match route_source((far, 53).into())? {
            IpAddr::V6(address) if !address.is_unicast_link_local() && !address.is_loopback() => Some(address),
            _ => None,
        }
    }

    fn is_local(&self, address: IpAddr) -> bool {
        if UdpSocket::bind((address, 0)).is_err() {
            return false;
        }
        // Binding is not a sufficient test: with `ip_nonlocal_bind`, which is common on machines with floating addresses, it works
        // for any address. Nor is the list of interfaces: an address may be local by a route (`ip route add local`), and is then
        // its own source.
        let Some(networks) = &self.networks else { return true };
        address.is_unspecified()
            || address.is_loopback()
            || networks.iter().any(|network| network.address == address)
            || route_source((address, 9).into()) == Some(address)
    }
}

/// The addresses of interfaces; `None` if the system does not list them.
fn interfaces() -> Option<Vec<Network>> {
    let mut networks: Vec<Network> = getifaddrs()
        .ok()?
        .filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP))
        .filter_map(|interface| network(&interface))
        .collect();
    networks.sort_unstable();
    networks.dedup();
    Some(networks)
}

fn network(interface: &InterfaceAddress) -> Option<Network> {
    let (address, mask) = (interface.address.as_ref()?, interface.netmask.as_ref());
    if let Some(v4) = address.as_sockaddr_in() {
        let mask = mask.and_then(|mask| mask.as_sockaddr_in()).map_or(u32::MAX, |mask| mask.ip().to_bits());
        return Some(Network { address: v4.ip().into(), prefix: ones(mask.count_ones()) });
    }
    let v6 = address.as_sockaddr_in6()?;
    let mask = mask.and_then(|mask| mask.as_sockaddr_in6()).map_or(u128::MAX, |mask| mask.ip().to_bits());
    Some(Network { address: v6.ip().into(), prefix: ones(mask.count_ones()) })
}

fn ones(count: u32) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}

/// The source address that the kernel chooses for packets to `far`. Connecting a UDP socket sends nothing.
fn route_source(far: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = match far {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(far).ok()?;
    let source = socket.local_addr().ok()?.ip();
    (!source.is_unspecified()).then_some(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_local_and_listed() {
        let (host, loopback) = (ThisHost::look(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert!(host.is_local(loopback));
        assert!(host.networks().contains(&Network { address: loopback, prefix: 8 }));
    }

    #[test]
    fn an_address_for_documentation_is_not_local() {
        assert!(!ThisHost::look().is_local(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7))));
    }

    #[test]
    fn files_tell_the_same_addresses_as_netlink() {
        // Interfaces of other tests are in other namespaces. Ignore changes from outside.
        let of = |networks: Option<Vec<Network>>| {
            let mut addresses: Vec<IpAddr> = networks.unwrap().into_iter().map(|network| network.address).collect();
            addresses.sort_unstable();
            addresses.dedup();
            addresses
        };
        assert_eq!(of(proc::networks()), of(interfaces()));
    }
}
