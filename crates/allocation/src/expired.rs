use std::net::IpAddr;

use crate::{Allocation, AllocationId, Channel, ChannelNumber, Family, PeerSocket};

/// What ended because its time was up.
#[derive(Debug)]
pub enum Expired {
    /// An allocation, with all its channels, which are not reported one by one.
    Allocation(Box<Allocation>),
    /// One family of an allocation that lives on in the other, with the channels to and permissions for peers of that family.
    Family {
        /// Of which allocation.
        id: AllocationId,
        /// Which family.
        family: Family,
        /// Its channels, bound and lapsed, which are not reported one by one.
        channels: Vec<Channel>,
    },
    /// A channel binding: nothing is relayed, but number and peer stay reserved for each other.
    ChannelExpired {
        /// Of which allocation.
        id: AllocationId,
        /// Its number.
        channel: ChannelNumber,
        /// Its peer.
        peer: PeerSocket,
    },
    /// A permission.
    PermissionExpired {
        /// Of which allocation.
        id: AllocationId,
        /// The address of its peers.
        address: IpAddr,
    },
    /// The reservation of a lapsed channel: number and peer are free for others.
    ChannelReleased {
        /// Of which allocation.
        id: AllocationId,
        /// Its number.
        channel: ChannelNumber,
        /// Its peer.
        peer: PeerSocket,
    },
    /// The time that was asked for with [`Allocations::wait`](crate::Allocations::wait), under this number.
    Wait(u64),
}

/// What [`Allocations::remove_family`](crate::Allocations::remove_family) took away.
#[derive(Debug)]
pub enum RemovedFamily {
    /// All of it: it had no other family.
    Allocation(Box<Allocation>),
    /// One family and these channels, bound and lapsed; it lives on in the other.
    Family(Vec<Channel>),
}
