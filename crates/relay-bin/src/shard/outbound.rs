//! The queue of application data that a shard relays, and how it is sorted and sent in batches.

use std::{io, net::IpAddr, net::SocketAddr, ops::Range};

use relay_server::{DataHeader, Timestamp};
use udp_batch::{Message, UdpSocket};

use super::{
    ingress::ReceiveBuffers,
    poller::Source,
    send_failures::SendFailures,
    stats::{Counters, Loss},
};

/// Added to the salt for each batch. Even, so that the salt stays odd: multiplication by an odd number permutes `u16`.
const STEP: u16 = 40_502;

/// The direction of application data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Towards {
    Peer,
    /// To a peer with the DF bit set.
    PeerUnfragmented,
    Client,
}

/// A datagram to send. Its bytes are still in the receive buffers.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// The socket to send it by.
    pub(super) socket: Source,
    pub(super) source: Option<IpAddr>,
    pub(super) to: SocketAddr,
    /// [`sort_key`] of `to`, computed once: sorting reads it many times.
    pub(super) sort_key: u16,
    pub(super) towards: Towards,
    /// DSCP and ECN, as received
    /// ([RFC 8656, section 13](https://www.rfc-editor.org/rfc/rfc8656#section-13)).
    pub(super) traffic_class: u8,
    /// The header, unless `bytes` contain it or there is none.
    pub(super) header: Header,
    /// The bytes to send, within the [`ReceiveBuffers`].
    pub(super) bytes: Range<usize>,
    /// How many of them are application data.
    pub(super) payload: usize,
    /// The number of zeros to append.
    pub(super) padding: u8,
}

/// The header in front of the bytes of an [`Outgoing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    None,
    Channel([u8; 4]),
    /// The index of a Data indication's header in [`Outbound::headers`]. The header itself is too long to be moved in a sort.
    Data(usize),
}

impl Outgoing {
    /// The sort key: equal for datagrams from one socket to one destination, and rarely for others. `salt` must be odd. It decides
    /// the order of destinations.
    const fn flow(&self, salt: u16) -> (Source, u16) {
        (self.socket, self.sort_key.wrapping_mul(salt))
    }

    fn is_unfragmented(&self) -> bool {
        self.towards == Towards::PeerUnfragmented
    }

    /// Whether one system call may send both.
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

/// Folds address and port into 16 bits. Two ports at one address, or two addresses that differ only in their last 16 bits, never
/// have the same key. So clients that all use the same port have different keys, too.
#[expect(clippy::cast_possible_truncation, reason = "the lowest bits are wanted")]
pub(super) const fn sort_key(to: SocketAddr) -> u16 {
    let folded = match to.ip() {
        IpAddr::V4(ip) => ip.to_bits() ^ (ip.to_bits() >> 16),
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            let folded = (bits >> 64) as u64 ^ bits as u64;
            let folded = (folded >> 32) as u32 ^ folded as u32;
            folded ^ (folded >> 16)
        }
    };
    folded as u16 ^ to.port()
}

/// The datagrams that one batch of received datagrams makes this shard send: everything between the decision to relay and the
/// system call.
#[derive(Debug)]
pub(super) struct Outbound {
    queue: Vec<Outgoing>,
    /// The headers of the queued Data indications.
    headers: Vec<DataHeader>,
    /// Decides the order of destinations in this batch. Odd.
    salt: u16,
    sender: udp_batch::Sender,
    failures: SendFailures,
}

impl Default for Outbound {
    fn default() -> Self {
        Self {
            queue: Vec::new(),
            headers: Vec::new(),
            salt: 1,
            sender: udp_batch::Sender::default(),
            failures: SendFailures::default(),
        }
    }
}

impl Outbound {
    /// Queues a datagram for [`Self::flush`].
    pub(super) fn push(&mut self, outgoing: Outgoing) {
        self.queue.push(outgoing);
    }

    /// Stores the header of a Data indication until [`Self::flush`].
    pub(super) fn keep_header(&mut self, header: DataHeader) -> Header {
        self.headers.push(header);
        Header::Data(self.headers.len() - 1)
    }

    /// Sends a datagram at once. Counts it as lost if that fails.
    pub(super) fn send(
        &mut self,
        socket: &UdpSocket,
        source: Option<IpAddr>,
        to: SocketAddr,
        bytes: &[u8],
        counters: &mut Counters,
    ) {
        if let Err(error) = socket.send(&mut self.sender, source, to, bytes) {
            count_failure(&error, &mut self.failures, counters);
        }
    }

    /// Discards all queued datagrams.
    pub(super) fn start_again(&mut self) {
        (self.queue, self.headers, self.sender) = (Vec::new(), Vec::new(), udp_batch::Sender::default());
    }

    /// Logs datagrams that could not be sent, at a limited rate.
    pub(super) fn tell_send_failures(&mut self, now: Timestamp) {
        self.failures.tell(now);
    }

    /// Logs that the kernel refused segmentation offload.
    fn log_refusal(&mut self) {
        if let Some(error) = self.sender.take_segmentation_refusal() {
            tracing::info!(%error, "no segmentation offload for a while where it was refused; sending datagrams one by one");
        }
    }

    /// Sends and counts all queued datagrams, by the sockets that `find` returns. Datagrams from one socket to one destination stay
    /// in order. Those that the kernel does not take at once are lost: waiting for one receiver would delay all others.
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
            let (headers, failures) = (&self.headers, &mut self.failures);
            let messages = run.iter().map(|outgoing| outgoing.message(buffers, headers));
            let done = |index: usize, result: Result<(), &io::Error>| match result {
                Ok(()) => match run[index].towards {
                    Towards::Peer | Towards::PeerUnfragmented => counters.relayed_to_peer(run[index].payload),
                    Towards::Client => counters.relayed_to_client(run[index].payload),
                },
                Err(error) => count_failure(error, failures, counters),
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
            // The position in the buffers is the order of arrival.
            self.queue.sort_unstable_by_key(|outgoing| (outgoing.flow(salt), outgoing.bytes.start));
        }
    }
}

/// Counts a datagram that could not be sent.
fn count_failure(error: &io::Error, failures: &mut SendFailures, counters: &mut Counters) {
    tracing::trace!(%error, "cannot send");
    failures.note(error);
    counters.lose(match error.kind() {
        io::ErrorKind::WouldBlock => Loss::SendBufferFull,
        _ => Loss::SendFailed,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(to: SocketAddr, start: usize) -> Outgoing {
        Outgoing {
            socket: Source::Listener(0),
            source: None,
            to,
            sort_key: sort_key(to),
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
        // As close together as the ports of clients behind one router may be.
        let of_one_host: [SocketAddr; 8] =
            std::array::from_fn(|number| ([192, 0, 2, 1], 5_000 + u16::try_from(number).unwrap()).into());
        // As for clients that all use one port and have no NAT.
        let of_one_port = std::array::from_fn(|number| ([192, 0, 2, 1 + u8::try_from(number).unwrap()], 5_000).into());
        let of_ipv6 = of_one_port.map(|to: SocketAddr| match to.ip() {
            IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), to.port()),
            IpAddr::V6(_) => to,
        });
        for destinations in [of_one_host, of_one_port, of_ipv6] {
            let mut outbound = Outbound::default();
            let mut last: std::collections::BTreeMap<_, u16> = destinations.iter().map(|to| (*to, 0)).collect();
            for _ in 0..BATCHES {
                for start in 0..2 {
                    outbound.queue.extend(destinations.iter().map(|to| outgoing(*to, start)));
                }
                outbound.arrange();
                for pair in outbound.queue.chunks(2) {
                    // Datagrams to one destination are adjacent and in order of arrival.
                    assert_eq!((pair[0].to, pair[0].bytes.start), (pair[1].to, 0));
                }
                *last.get_mut(&outbound.queue.last().unwrap().to).unwrap() += 1;
                outbound.queue.clear();
            }
            let even = BATCHES / 8;
            assert!(last.values().all(|&times| (even / 2..even * 2).contains(&times)), "{last:?}");
        }
    }
}
