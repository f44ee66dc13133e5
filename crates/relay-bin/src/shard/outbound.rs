use std::{io, net::IpAddr, net::SocketAddr, ops::Range};

use relay_server::DataHeader;
use udp_batch::{Message, UdpSocket};

use super::{
    ingress::ReceiveBuffers,
    poller::Source,
    stats::{Counters, Loss},
};

/// Added to the salt for each batch. Even, so that the salt stays odd: to multiply by an odd number permutes the ports.
const STEP: u16 = 40_502;

/// Which way application data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Towards {
    Peer,
    /// With the DF bit set.
    PeerUnfragmented,
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
    /// The header, unless it is part of `bytes`, or there is none.
    pub(super) header: Header,
    /// What to send, within the [`ReceiveBuffers`].
    pub(super) bytes: Range<usize>,
    /// How much of it is application data.
    pub(super) payload: usize,
    /// How many zeros come behind it.
    pub(super) padding: u8,
}

/// What comes before the bytes of an [`Outgoing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    None,
    Channel([u8; 4]),
    /// The one with this index: so long that it would be in the way where datagrams are sorted.
    Data(usize),
}

impl Outgoing {
    /// The sort key: equal for datagrams from one socket to one destination. Destinations that share a port have equal keys, too: the
    /// kernel takes fewer of their datagrams at a time, and their order does not change. `salt`, which is odd, decides on the order of all others.
    const fn flow(&self, salt: u16) -> (Source, u16) {
        (self.socket, self.to.port().wrapping_mul(salt))
    }

    fn is_unfragmented(&self) -> bool {
        self.towards == Towards::PeerUnfragmented
    }

    /// Whether one call may send both.
    fn leaves_like(&self, next: &Self) -> bool {
        self.socket == next.socket && self.is_unfragmented() == next.is_unfragmented()
    }

    fn message<'a>(&'a self, buffers: &'a ReceiveBuffers, headers: &'a [DataHeader]) -> Message<'a> {
        Message {
            source: self.source,
            to: self.to,
            traffic_class: self.traffic_class,
            header: match &self.header {
                Header::None => &[],
                Header::Channel(header) => header,
                Header::Data(index) => headers.get(*index).map_or(&[], DataHeader::as_bytes),
            },
            payload: &buffers[self.bytes.clone()],
            padding: self.padding,
        }
    }
}

/// What one batch of received datagrams makes this shard send. Everything between the decision to relay and the system call
/// is here.
#[derive(Debug)]
pub(super) struct Outbound {
    queue: Vec<Outgoing>,
    /// The headers of Data indications in it.
    headers: Vec<DataHeader>,
    /// Decides on the order of destinations in this batch. Odd.
    salt: u16,
    sender: udp_batch::Sender,
}

impl Default for Outbound {
    fn default() -> Self {
        Self { queue: Vec::new(), headers: Vec::new(), salt: 1, sender: udp_batch::Sender::default() }
    }
}

impl Outbound {
    /// Queues a datagram for [`Self::flush`].
    pub(super) fn push(&mut self, outgoing: Outgoing) {
        self.queue.push(outgoing);
    }

    /// Keeps the header of a Data indication until [`Self::flush`].
    pub(super) fn keep_header(&mut self, header: DataHeader) -> Header {
        self.headers.push(header);
        Header::Data(self.headers.len() - 1)
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

    /// Says in the log that segmentation was refused: the first time only.
    fn log_refusal(&mut self) {
        if let Some(error) = self.sender.take_segmentation_refusal() {
            tracing::info!(%error, "no segmentation offload for a while where it was refused; sending datagrams one by one");
        }
    }

    /// Sends what is queued by the sockets that `find` knows, and counts it; what goes from one socket to one destination stays in
    /// order. What the kernel does not take at once is lost: waiting for one receiver would hold up all others.
    pub(super) fn flush<'a>(
        &mut self,
        buffers: &ReceiveBuffers,
        find: impl Fn(Source) -> Option<&'a UdpSocket>,
        counters: &mut Counters,
    ) {
        self.arrange();
        for run in self.queue.chunk_by(Outgoing::leaves_like) {
            let Some(socket) = run.first().and_then(|first| find(first.socket)) else {
                run.iter().for_each(|_| counters.lose(Loss::NoSocket));
                continue;
            };
            let headers = &self.headers;
            let messages = run.iter().map(|outgoing| outgoing.message(buffers, headers));
            let done = |index: usize, result: Result<(), &io::Error>| match result {
                Ok(()) => match run[index].towards {
                    Towards::Peer | Towards::PeerUnfragmented => counters.relayed_to_peer(run[index].payload),
                    Towards::Client => counters.relayed_to_client(run[index].payload),
                },
                Err(error) => count_failure(error, counters),
            };
            if run.first().is_some_and(Outgoing::is_unfragmented) {
                if let Err(error) = socket.send_unfragmented(&mut self.sender, messages, done) {
                    tracing::debug!(%error, "cannot let datagrams be fragmented again");
                }
            } else {
                socket.send_all(&mut self.sender, messages, done);
            }
        }
        self.queue.clear();
        self.headers.clear();
        self.log_refusal();
    }

    /// Sorts by socket, then by destination, so that the kernel takes many datagrams at a time. The order of destinations changes with each
    /// batch, so that a full send buffer does not always drop the datagrams of the same clients.
    fn arrange(&mut self) {
        self.salt = self.salt.wrapping_add(STEP);
        let salt = self.salt;
        if self.queue.windows(2).any(|pair| pair[0].flow(salt) > pair[1].flow(salt)) {
            // In the buffers they lie as they arrived.
            self.queue.sort_unstable_by_key(|outgoing| (outgoing.flow(salt), outgoing.bytes.start));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(port: u16, start: usize) -> Outgoing {
        Outgoing {
            socket: Source::Listener(0),
            source: None,
            to: SocketAddr::from(([192, 0, 2, 1], port)),
            towards: Towards::Client,
            traffic_class: 0,
            header: Header::None,
            bytes: start..start + 1,
            payload: 1,
            padding: 0,
        }
    }

    #[test]
    fn nobody_comes_last_more_often_than_others() {
        const BATCHES: u16 = 1_000;
        // As close together as those of clients behind one router may be.
        let ports = 5_000..5_008;
        let mut outbound = Outbound::default();
        let mut last = ports.clone().map(|port| (port, 0)).collect::<std::collections::BTreeMap<_, _>>();
        for _ in 0..BATCHES {
            for start in 0..2 {
                outbound.queue.extend(ports.clone().map(|port| outgoing(port, start)));
            }
            outbound.arrange();
            for pair in outbound.queue.chunks(2) {
                // Together, and as they came.
                assert_eq!((pair[0].to, pair[0].bytes.start), (pair[1].to, 0));
            }
            *last.get_mut(&outbound.queue.last().unwrap().to.port()).unwrap() += 1;
            outbound.queue.clear();
        }
        let even = BATCHES / 8;
        assert!(last.values().all(|&times| (even / 2..even * 2).contains(&times)), "{last:?}");
    }
}
