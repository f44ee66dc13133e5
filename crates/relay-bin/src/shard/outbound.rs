use std::{io, net::IpAddr, net::SocketAddr, ops::Range};

use super::poller::Source;
use crate::{
    socket::{self, HEAD_ROOM, ReceiveBuffers, UdpSocket},
    stats::{Counters, Loss},
};

/// Which way application data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Towards {
    Peer,
    Client,
}

/// A datagram to send that still lies where it was received.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// The socket that it leaves by.
    pub(super) socket: Source,
    pub(super) source: Option<IpAddr>,
    pub(super) to: SocketAddr,
    pub(super) towards: Towards,
    /// DSCP and ECN, as received
    /// ([RFC 8656, section 13](https://www.rfc-editor.org/rfc/rfc8656#section-13)).
    pub(super) traffic_class: u8,
    /// The ChannelData header, unless it is part of `bytes`, or there is none.
    pub(super) header: Option<[u8; HEAD_ROOM]>,
    /// What to send, within the [`ReceiveBuffers`].
    pub(super) bytes: Range<usize>,
    /// How much of it is application data.
    pub(super) payload: usize,
}

impl Outgoing {
    /// Equal for datagrams from one socket to one destination, and hardly ever for others.
    const fn flow(&self) -> (Source, u16) {
        (self.socket, self.to.port())
    }

    fn message<'a>(&'a self, buffers: &'a ReceiveBuffers) -> socket::Message<'a> {
        socket::Message {
            source: self.source,
            to: self.to,
            traffic_class: self.traffic_class,
            header: self.header.as_ref(),
            payload: &buffers[self.bytes.clone()],
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

    /// Sends what is queued by the sockets that `find` knows, and counts it; what goes from one socket to one destination stays in
    /// order. What the kernel does not take at once is lost: waiting for one receiver would hold up all others.
    pub(super) fn flush<'a>(
        &mut self,
        buffers: &ReceiveBuffers,
        find: impl Fn(Source) -> Option<&'a UdpSocket>,
        counters: &mut Counters,
    ) {
        // The kernel takes what leaves by one socket together, and what goes to one destination as if it were one.
        if self.queue.windows(2).any(|pair| pair[0].flow() > pair[1].flow()) {
            // In the buffers they lie as they arrived.
            self.queue.sort_unstable_by_key(|outgoing| (outgoing.flow(), outgoing.bytes.start));
        }
        for run in self.queue.chunk_by(|one, next| one.socket == next.socket) {
            let Some(socket) = run.first().and_then(|first| find(first.socket)) else {
                run.iter().for_each(|_| counters.lose(Loss::NoSocket));
                continue;
            };
            let messages = run.iter().map(|outgoing| outgoing.message(buffers));
            socket.send_all(&mut self.sender, messages, |index, result| match result {
                Ok(()) => match run[index].towards {
                    Towards::Peer => counters.relayed_to_peer(run[index].payload),
                    Towards::Client => counters.relayed_to_client(run[index].payload),
                },
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
