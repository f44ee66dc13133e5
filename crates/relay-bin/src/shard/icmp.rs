//! Carries errors about sent datagrams from the kernel to the state machine.

use relay_server::{Icmp, PeerSocket, Timestamp};
use udp_batch::{ErrorOrigin, SendError};

use super::{driver::Driver, inbound::Inbound, poller::Source};
use crate::offload::Offload;

impl<O: Offload> Driver<O> {
    /// Handles the errors that the kernel reports about datagrams sent by `source`.
    pub(super) fn handle_socket_errors(&mut self, now: Timestamp, sockets: &mut impl Inbound, source: Source) {
        let Source::Relay(port, _) = source else { return };
        let mut errors = Vec::new();
        sockets.take_errors(source, |error| errors.push(error));
        for error in errors {
            let Some(icmp) = icmp(&error) else { continue };
            let peer = PeerSocket::new(sockets.peer_address(error.to));
            tracing::trace!(?peer, ?icmp, "a datagram did not arrive");
            self.handle_icmp(now, sockets, port, peer, icmp);
        }
    }
}

/// The ICMP error to report to the client. A datagram that is too large for this machine's own link counts as refused by a router:
/// to the client it makes no difference which link was too narrow.
fn icmp(error: &SendError) -> Option<Icmp> {
    let (icmp_type, code) = match error.origin {
        ErrorOrigin::Icmp { icmp_type, code } => (icmp_type, code),
        ErrorOrigin::Local if error.errno == libc::EMSGSIZE && error.to.is_ipv4() => (3, 4),
        ErrorOrigin::Local if error.errno == libc::EMSGSIZE => (2, 0),
        ErrorOrigin::Local => return None,
    };
    Some(Icmp { icmp_type, code, error_data: error.info })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_too_large_for_the_interface_is_as_if_a_router_had_refused_it() {
        let error = |to: &str, errno| {
            icmp(&SendError { to: to.parse().unwrap(), origin: ErrorOrigin::Local, errno, info: 1_400 })
        };
        let expected = Icmp { icmp_type: 3, code: 4, error_data: 1_400 };
        assert_eq!(error("192.0.2.1:0", libc::EMSGSIZE), Some(expected));
        let expected = Icmp { icmp_type: 2, code: 0, error_data: 1_400 };
        assert_eq!(error("[2001:db8::1]:0", libc::EMSGSIZE), Some(expected));
        assert_eq!(error("192.0.2.1:0", libc::ENOMEM), None);
    }

    #[test]
    fn an_icmp_error_is_told_as_it_came() {
        let origin = ErrorOrigin::Icmp { icmp_type: 3, code: 13 };
        let error = SendError { to: "192.0.2.1:9".parse().unwrap(), origin, errno: libc::EACCES, info: 7 };
        assert_eq!(icmp(&error), Some(Icmp { icmp_type: 3, code: 13, error_data: 7 }));
    }
}
