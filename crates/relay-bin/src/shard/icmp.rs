//! What the kernel says of datagrams that did not reach their peers, on its way to the state machine.

use relay_server::{PeerSocket, Timestamp};

use super::{
    driver::{Driver, Network as _},
    poller::Source,
    sockets::Sockets,
};
use crate::offload::Offload;

impl<O: Offload> Driver<Sockets, O> {
    /// The kernel has something to say about what left by `source`.
    pub(super) fn handle_socket_errors(&mut self, now: Timestamp, source: Source) {
        let Source::Relay(port, _) = source else { return };
        let mut errors = Vec::new();
        self.network_mut().take_errors(source, |error| errors.push(error));
        for error in errors {
            let peer = PeerSocket::new(self.network_mut().peer_address(error.to));
            tracing::trace!(?peer, icmp = ?error.icmp, "a datagram did not arrive");
            self.handle_icmp(now, port, peer, error.icmp);
        }
    }
}
