//! What addresses this machine has, now and later.

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

/// The machine at one time, as far as its addresses go. A trait, so that what follows from it can be tested on machines that
/// are not at hand.
pub(crate) trait Host {
    /// All addresses of all interfaces that are up, with the networks that they are in.
    fn networks(&self) -> &[Network];

    /// The address that packets to the Internet leave from, per family, if there is a route.
    fn route_source_v4(&self) -> Option<Ipv4Addr>;

    /// See [`Self::route_source_v4`].
    fn route_source_v6(&self) -> Option<Ipv6Addr>;

    /// Whether packets can be sent from `address`. An IPv6 address that is tentative cannot be used yet.
    fn is_local(&self, address: IpAddr) -> bool;

    /// The address that packets to the Internet leave from in the family of `address`, if there is a route.
    fn route_source(&self, address: IpAddr) -> Option<IpAddr> {
        match address {
            IpAddr::V4(_) => self.route_source_v4().map(IpAddr::V4),
            IpAddr::V6(_) => self.route_source_v6().map(IpAddr::V6),
        }
    }
}
