//! What addresses this machine has.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags};

/// The machine, as far as its addresses go. A trait, so that configuration can be tested on machines that are not at hand.
pub(crate) trait Host {
    /// All addresses of all interfaces that are up.
    fn addresses(&self) -> Vec<IpAddr>;

    /// The address that packets to the Internet leave from, per family, if there is a route.
    fn route_source_v4(&self) -> Option<Ipv4Addr>;

    /// See [`Self::route_source_v4`].
    fn route_source_v6(&self) -> Option<Ipv6Addr>;

    /// Whether a socket can be bound to `address`.
    fn is_local(&self, address: IpAddr) -> bool;
}

/// The machine that this process runs on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThisHost;

impl Host for ThisHost {
    fn addresses(&self) -> Vec<IpAddr> {
        let Ok(interfaces) = getifaddrs() else { return Vec::new() };
        let mut addresses: Vec<IpAddr> = interfaces
            .filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP))
            .filter_map(|interface| interface.address)
            .filter_map(|address| {
                let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
                v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
            })
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    fn route_source_v4(&self) -> Option<Ipv4Addr> {
        match route_source((Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv4Addr::new(8, 8, 8, 8), 53).into())? {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }
    }

    fn route_source_v6(&self) -> Option<Ipv6Addr> {
        let far = Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888);
        match route_source((Ipv6Addr::UNSPECIFIED, 0).into(), (far, 53).into())? {
            IpAddr::V6(address) if !address.is_unicast_link_local() => Some(address),
            _ => None,
        }
    }

    fn is_local(&self, address: IpAddr) -> bool {
        UdpSocket::bind((address, 0)).is_ok()
    }
}

/// The source address that the kernel's routes choose towards `far`. Connecting a UDP socket sends nothing.
fn route_source(any: SocketAddr, far: SocketAddr) -> Option<IpAddr> {
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
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert!(ThisHost.is_local(loopback));
        assert!(ThisHost.addresses().contains(&loopback));
    }

    #[test]
    fn an_address_for_documentation_is_not_local() {
        assert!(!ThisHost.is_local(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7))));
    }
}
