use std::net::IpAddr;

use crate::{Allocation, AllocationId, Channel, ChannelNumber, Family, PeerSocket};

/// What has expired.
#[derive(Debug)]
pub enum Expired {
    /// An allocation, with all its channels, which are not reported one by one.
    Allocation(Box<Allocation>),
    /// One family of an allocation, with the channels and permissions of peers of that family. The allocation keeps its other family.
    Family {
        /// Of which allocation.
        id: AllocationId,
        /// Which family.
        family: Family,
        /// Its channels, bound and lapsed, which are not reported one by one.
        channels: Vec<Channel>,
    },
    /// A channel binding. The channel no longer relays, but number and peer stay reserved for each other.
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
    /// The reuse delay of a lapsed channel. Number and peer can be bound to others.
    ChannelReleased {
        /// Of which allocation.
        id: AllocationId,
        /// Its number.
        channel: ChannelNumber,
        /// Its peer.
        peer: PeerSocket,
    },
    /// The timer that was set with [`Allocations::wait`](crate::Allocations::wait), with this number.
    Wait(u64),
}

/// What [`Allocations::remove_family`](crate::Allocations::remove_family) removed.
#[derive(Debug)]
pub enum RemovedFamily {
    /// The whole allocation: it had no other family.
    Allocation(Box<Allocation>),
    /// One family and these channels, bound and lapsed. The allocation keeps its other family.
    Family(Vec<Channel>),
}
