use std::{io, net::IpAddr, net::SocketAddr, ops::Range, rc::Rc};

use quinn_udp::EcnCodepoint;

use crate::{
    socket::{HEAD_ROOM, ReceiveBuffers, UdpSocket},
    stats::{Counters, Loss},
};

/// Which way application data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Towards {
    Peer,
    /// Behind this ChannelData header.
    Client([u8; HEAD_ROOM]),
}

/// A datagram to send whose payload still lies where it was received.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) socket: Rc<UdpSocket>,
    pub(super) source: Option<IpAddr>,
    pub(super) to: SocketAddr,
    pub(super) towards: Towards,
    pub(super) ecn: Option<EcnCodepoint>,
    /// The application data within the [`ReceiveBuffers`]; at least [`HEAD_ROOM`] bytes come before it.
    pub(super) payload: Range<usize>,
}

/// What one batch of received datagrams makes this shard send. Everything between the decision to relay and the system call
/// is here.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    queue: Vec<Outgoing>,
}

impl Outbound {
    /// Queues a datagram for [`Self::flush`].
    pub(super) fn push(&mut self, outgoing: Outgoing) {
        self.queue.push(outgoing);
    }

    /// Sends what is queued, in order, and counts it. What the kernel does not take at once is lost: waiting for one receiver
    /// would hold up all others.
    pub(super) fn flush(&mut self, buffers: &mut ReceiveBuffers, counters: &mut Counters) {
        for outgoing in self.queue.drain(..) {
            let Outgoing { socket, source, to, towards, ecn, payload } = outgoing;
            let length = payload.len();
            let datagram = match towards {
                Towards::Peer => payload,
                Towards::Client(header) => {
                    // What lies there is either nothing or the end of a datagram that is sent already.
                    let start = payload.start - HEAD_ROOM;
                    buffers[start..payload.start].copy_from_slice(&header);
                    start..payload.end
                }
            };
            match socket.send(source, to, ecn, &buffers[datagram]) {
                Ok(()) => match towards {
                    Towards::Peer => counters.relayed_to_peer(length),
                    Towards::Client(_) => counters.relayed_to_client(length),
                },
                Err(error) => count_failure(&error, counters),
            }
        }
    }
}

/// Counts a datagram that could not be sent.
pub(super) fn count_failure(error: &io::Error, counters: &mut Counters) {
    tracing::trace!(%error, "cannot send");
    counters.lose(match error.kind() {
        io::ErrorKind::WouldBlock => Loss::SendBufferFull,
        _ => Loss::SendFailed,
    });
}
