use std::{io, net::IpAddr, net::SocketAddr, ops::Range, rc::Rc};

use crate::{
    socket::{self, HEAD_ROOM, ReceiveBuffers, UdpSocket},
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
    /// DSCP and ECN, as received
    /// ([RFC 8656, section 13](https://www.rfc-editor.org/rfc/rfc8656#section-13)).
    pub(super) traffic_class: u8,
    /// The application data within the [`ReceiveBuffers`].
    pub(super) payload: Range<usize>,
}

impl Outgoing {
    /// Equal for datagrams from one socket to one destination, and hardly ever for others.
    fn flow(&self) -> (usize, u16) {
        (Rc::as_ptr(&self.socket).addr(), self.to.port())
    }

    fn message<'a>(&'a self, buffers: &'a ReceiveBuffers) -> socket::Message<'a> {
        socket::Message {
            source: self.source,
            to: self.to,
            traffic_class: self.traffic_class,
            header: match &self.towards {
                Towards::Peer => None,
                Towards::Client(header) => Some(header),
            },
            payload: &buffers[self.payload.clone()],
        }
    }
}

/// What one batch of received datagrams makes this shard send. Everything between the decision to relay and the system call
/// is here.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    queue: Vec<Outgoing>,
    sender: socket::Sender,
}

impl Outbound {
    /// Queues a datagram for [`Self::flush`].
    pub(super) fn push(&mut self, outgoing: Outgoing) {
        self.queue.push(outgoing);
    }

    /// Sends a datagram at once.
    ///
    /// # Errors
    ///
    /// Those of [`UdpSocket::send`].
    pub(super) fn send(
        &mut self,
        socket: &UdpSocket,
        source: Option<IpAddr>,
        to: SocketAddr,
        bytes: &[u8],
    ) -> io::Result<()> {
        socket.send(&mut self.sender, source, to, bytes)
    }

    /// Sends what is queued and counts it; what goes from one socket to one destination stays in order. What the kernel does not
    /// take at once is lost: waiting for one receiver would hold up all others.
    pub(super) fn flush(&mut self, buffers: &ReceiveBuffers, counters: &mut Counters) {
        // The kernel takes what leaves by one socket together, and what goes to one destination as if it were one.
        if self.queue.windows(2).any(|pair| pair[0].flow() > pair[1].flow()) {
            self.queue.sort_by_key(Outgoing::flow);
        }
        for run in self.queue.chunk_by(|one, next| Rc::ptr_eq(&one.socket, &next.socket)) {
            let Some(first) = run.first() else { continue };
            let messages = run.iter().map(|outgoing| outgoing.message(buffers));
            first.socket.send_all(&mut self.sender, messages, |index, result| match result {
                Ok(()) => {
                    let length = run[index].payload.len();
                    match run[index].towards {
                        Towards::Peer => counters.relayed_to_peer(length),
                        Towards::Client(_) => counters.relayed_to_client(length),
                    }
                }
                Err(error) => count_failure(error, counters),
            });
        }
        self.queue.clear();
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
