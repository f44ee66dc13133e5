use crate::{Allocation, AllocationId, ChannelNumber, PeerSocket};

/// What ended because its time was up.
#[derive(Debug)]
pub enum Expired {
    /// An allocation, with all its channels, which are not reported one by one.
    Allocation(Box<Allocation>),
    /// A channel binding: nothing is relayed, but number and peer stay reserved for each other.
    ChannelExpired {
        /// Of which allocation.
        id: AllocationId,
        /// Its number.
        channel: ChannelNumber,
        /// Its peer.
        peer: PeerSocket,
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
}
