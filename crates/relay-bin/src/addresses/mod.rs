//! This machine's addresses, at the start and as they change.

mod default_routes;
mod family;
mod follow;
mod monitor;
mod network;
mod proc;
mod state;
mod this_host;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) use self::{
    default_routes::default_route_interfaces,
    family::{FamilyAddresses, Origin, any},
    follow::follow,
    network::Network,
    state::{AddressState, AddressTracker, AddressWatch, BehindNat, FamilyState},
    this_host::ThisHost,
};

/// The machine's addresses at one time. A trait, so that tests can use other machines.
pub(crate) trait Host {
    /// All addresses of all interfaces that are up, with their networks.
    fn networks(&self) -> &[Network];

    /// The source address of packets to the Internet, if there is a route.
    fn route_source_v4(&self) -> Option<Ipv4Addr>;

    /// See [`Self::route_source_v4`].
    fn route_source_v6(&self) -> Option<Ipv6Addr>;

    /// Whether packets can be sent from `address`. A tentative IPv6 address cannot be used yet.
    fn is_local(&self, address: IpAddr) -> bool;

    /// The source address of packets to the Internet in the family of `address`, if there is a route.
    fn route_source(&self, address: IpAddr) -> Option<IpAddr> {
        match address {
            IpAddr::V4(_) => self.route_source_v4().map(IpAddr::V4),
            IpAddr::V6(_) => self.route_source_v6().map(IpAddr::V6),
        }
    }
}
