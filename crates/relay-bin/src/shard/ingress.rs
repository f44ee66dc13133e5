//! Where datagrams come in.

use std::net::IpAddr;

use relay_server::{AllocationPort, DataHeader};
use udp_batch::{HEAD_ROOM, TAIL_ROOM};

/// Where a datagram came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ingress {
    /// A listening socket, and the address that it is bound to; `None` for the unspecified address.
    Listener(Option<IpAddr>),
    /// The relayed transport address with this port.
    Relay(AllocationPort),
}

/// The datagrams of one batch.
pub(super) type ReceiveBuffers = udp_batch::ReceiveBuffers<Ingress>;
/// One of them.
pub(super) type Datagram = udp_batch::Datagram<Ingress>;

// A Data indication fits around the data where that was received: its padding is up to 3 bytes.
const _: () = assert!(DataHeader::MAX_LEN <= HEAD_ROOM && TAIL_ROOM >= 3);

#[cfg(test)]
pub(super) mod tests {
    use std::net::SocketAddr;

    use super::*;

    /// Buffers with these datagrams, received by `ingress`: the sender, the destination address and the content of each.
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
