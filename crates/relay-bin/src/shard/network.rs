//! The trait through which the driver uses the sockets.

use std::net::{IpAddr, SocketAddr};

use relay_server::{AllocationId, AllocationPort, Family, Forward, RelayOpenError, Timestamp};

use super::{
    ingress::{Datagram, ReceiveBuffers},
    stats::Counters,
};
use crate::addresses::AddressState;

/// The sockets as the driver sees them: opening, closing and sending.
pub(super) trait Network {
    /// Opens the relay socket of an allocation. The event loop reads it from now on.
    fn open_relay(
        &mut self,
        now: Timestamp,
        id: AllocationId,
        port: AllocationPort,
        family: Family,
    ) -> Result<(), RelayOpenError>;

    /// Whether `address` is a relayed transport address of this relay, on any shard: an allocation holds its port, and may send
    /// from its IP address.
    fn is_relayed(&self, address: SocketAddr) -> bool;

    /// Closes a relay socket.
    fn close_relay(&mut self, port: AllocationPort, family: Family);

    /// Sends a STUN message to a client at once.
    fn respond(&mut self, from: IpAddr, to: SocketAddr, bytes: &[u8], counters: &mut Counters);

    /// Queues what `forward` takes from `datagram`; it leaves in [`Self::flush`] at the latest. May write a header into `buffers`,
    /// over bytes that are no longer needed.
    fn queue(&mut self, datagram: &Datagram, forward: &Forward, buffers: &mut ReceiveBuffers, counters: &mut Counters);

    /// Sends all queued datagrams.
    fn flush(&mut self, buffers: &ReceiveBuffers, counters: &mut Counters);

    /// Replaces the relay's addresses.
    fn set_addresses(&mut self, addresses: &AddressState);

    /// The transport address by which a peer is known that sent from `from`.
    fn peer_address(&self, from: SocketAddr) -> SocketAddr;
}
