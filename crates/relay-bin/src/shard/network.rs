//! What the state machine's driver asks of the sockets.

use std::net::{IpAddr, SocketAddr};

use relay_server::{AllocationId, AllocationPort, Family, Forward, RelayOpenError, Timestamp};

use super::{
    ingress::{Datagram, ReceiveBuffers},
    stats::Counters,
};
use crate::addresses::AddressState;

/// The sockets, as the driver needs them.
pub(super) trait Network {
    /// Opens a socket for an allocation and reads it from now on.
    fn open_relay(
        &mut self,
        now: Timestamp,
        id: AllocationId,
        port: AllocationPort,
        family: Family,
    ) -> Result<(), RelayOpenError>;

    /// Whether an allocation of this relay, of any shard, has the port of `address`, in its family, and may send from there.
    fn is_relayed(&self, address: SocketAddr) -> bool;

    /// Closes it again.
    fn close_relay(&mut self, port: AllocationPort, family: Family);

    /// Sends a STUN message to a client, at once.
    fn respond(&mut self, from: IpAddr, to: SocketAddr, bytes: &[u8], counters: &mut Counters);

    /// Sends what `forward` takes from `datagram`, at the latest in [`Self::flush`]. A header may be written into `buffers`, over
    /// what nobody needs any more.
    fn queue(&mut self, datagram: &Datagram, forward: &Forward, buffers: &mut ReceiveBuffers, counters: &mut Counters);

    /// Sends all that is queued.
    fn flush(&mut self, buffers: &ReceiveBuffers, counters: &mut Counters);

    /// The relay's addresses are these from now on.
    fn set_addresses(&mut self, addresses: &AddressState);

    /// Who a peer is that sent from `from`.
    fn peer_address(&self, from: SocketAddr) -> SocketAddr;
}
