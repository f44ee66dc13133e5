//! The socket at which a datagram arrived.

use std::net::IpAddr;

use relay_server::{AllocationPort, DataHeader};
use udp_batch::{HEAD_ROOM, TAIL_ROOM};

/// The socket at which a datagram arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ingress {
    /// A listening socket, with the address that it is bound to; `None` for the unspecified address.
    Listener(Option<IpAddr>),
    /// The relay socket with this port.
    Relay(AllocationPort),
}

/// The datagrams of one batch.
pub(super) type ReceiveBuffers = udp_batch::ReceiveBuffers<Ingress>;
/// A datagram of a batch.
pub(super) type Datagram = udp_batch::Datagram<Ingress>;

// The header of a Data indication fits in front of the data in its receive buffer, and up to 3 bytes of padding fit behind it.
const _: () = assert!(DataHeader::MAX_LEN <= HEAD_ROOM && TAIL_ROOM >= 3);

#[cfg(test)]
pub(super) mod tests {
    use std::net::SocketAddr;

    use super::*;

    /// Buffers with these datagrams, received at `ingress`. Each has a sender, a destination address and content.
    pub(in crate::shard) fn holding(ingress: Ingress, datagrams: &[(SocketAddr, IpAddr, &[u8])]) -> ReceiveBuffers {
        let mut buffers = ReceiveBuffers::new();
        for (from, to, bytes) in datagrams {
            let datagram = Datagram {
                tag: ingress,
                from: *from,
                to: Some(*to),
                traffic_class: 0,
                range: 0..0,
                follows: false,
                precedes: false,
            };
            buffers.restore(&datagram, bytes);
        }
        buffers
    }
}
