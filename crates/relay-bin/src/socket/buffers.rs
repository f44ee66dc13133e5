use std::{
    fmt,
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    ops::{Index, Range},
    os::fd::BorrowedFd,
};

use super::{
    Rest,
    receive::{BATCH, Meta, Receiver},
};

/// The length of a ChannelData header.
pub(crate) const HEAD_ROOM: usize = 4;

/// With GRO the kernel glues datagrams of a flow together, up to this size.
const SLOT: usize = 65_536;

/// Where one batch of datagrams is received into. One for all sockets of a thread: what is in it is done with before the next
/// socket is read.
pub(crate) struct ReceiveBuffers {
    bytes: Box<[u8]>,
    receiver: Box<Receiver>,
    metas: [Option<Meta>; BATCH],
    filled: usize,
}

/// One datagram in [`ReceiveBuffers`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Datagram {
    /// Where it came from.
    pub(crate) from: SocketAddr,
    /// The address that it was sent to, if the socket has several.
    pub(crate) to: Option<IpAddr>,
    /// Its DSCP and ECN.
    pub(crate) traffic_class: u8,
    /// Where it is.
    pub(crate) range: Range<usize>,
}

impl fmt::Debug for ReceiveBuffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiveBuffers").field("filled", &self.filled).finish_non_exhaustive()
    }
}

impl ReceiveBuffers {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; SLOT * BATCH].into_boxed_slice(),
            receiver: Receiver::new(),
            metas: [None; BATCH],
            filled: 0,
        }
    }

    /// Replaces the content by what `socket` has received.
    pub(super) fn fill(&mut self, socket: BorrowedFd<'_>) -> io::Result<Rest> {
        self.filled = 0;
        let mut slots = self.bytes.chunks_exact_mut(SLOT);
        let mut slots: [IoSliceMut<'_>; BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(slots.next().unwrap_or_default()));
        let metas = &mut self.metas;
        self.filled = self.receiver.receive(socket, &mut slots, |index, meta| metas[index] = meta)?;
        Ok(if self.filled < BATCH { Rest::Empty } else { Rest::Unknown })
    }

    /// The datagrams, in the order in which they arrived.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = Datagram> {
        let metas = self.metas[..self.filled].iter().enumerate();
        metas.filter_map(|(slot, meta)| Some((slot, (*meta)?))).flat_map(|(slot, meta)| {
            let start = slot * SLOT;
            let end = start + meta.length.min(SLOT);
            // An empty datagram is one, too.
            let stride = meta.received.segment.unwrap_or(meta.length).max(1);
            let count = meta.length.div_ceil(stride).max(1);
            (0..count).map(move |index| {
                let first = start + index * stride;
                Datagram {
                    from: meta.from,
                    to: meta.received.to,
                    traffic_class: meta.received.traffic_class,
                    range: first.min(end)..(first + stride).min(end),
                }
            })
        })
    }
}

#[cfg(test)]
impl ReceiveBuffers {
    /// Buffers that have received these datagrams, each from an address and sent to an address.
    pub(crate) fn holding(datagrams: &[(SocketAddr, IpAddr, &[u8])]) -> Self {
        let mut buffers = Self::new();
        for (from, to, bytes) in datagrams {
            buffers.put(*from, Some(*to), bytes, None);
        }
        buffers
    }

    fn put(&mut self, from: SocketAddr, to: Option<IpAddr>, bytes: &[u8], segment: Option<usize>) {
        let start = self.filled * SLOT;
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        let received = super::control::Received { to, segment, ..Default::default() };
        self.metas[self.filled] = Some(Meta { from, length: bytes.len(), received });
        self.filled += 1;
    }
}

impl Index<Range<usize>> for ReceiveBuffers {
    type Output = [u8];

    fn index(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, os::fd::AsFd as _};

    use super::*;

    #[test]
    fn glued_datagrams_come_apart() {
        let mut buffers = ReceiveBuffers::new();
        buffers.put("192.0.2.1:1".parse().unwrap(), None, b"aaabbbc", Some(3));
        buffers.put("192.0.2.2:2".parse().unwrap(), None, b"dd", None);
        buffers.put("192.0.2.3:3".parse().unwrap(), None, b"", None);
        let got: Vec<_> =
            buffers.datagrams().map(|datagram| (datagram.from.port(), buffers[datagram.range].to_vec())).collect();
        let expected = [(1, &b"aaa"[..]), (1, b"bbb"), (1, b"c"), (2, b"dd"), (3, b"")];
        assert_eq!(got, expected.map(|(port, bytes)| (port, bytes.to_vec())));
    }

    #[test]
    fn batches_and_the_end() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = socket.local_addr().unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let count = BATCH + 1;
        for number in 0..count {
            client.send_to(&vec![7; number], to).unwrap();
        }
        let mut buffers = ReceiveBuffers::new();
        assert_eq!(buffers.fill(socket.as_fd()).unwrap(), Rest::Unknown);
        let datagrams: Vec<Datagram> = buffers.datagrams().collect();
        assert_eq!(datagrams.len(), BATCH);
        for (number, datagram) in datagrams.iter().enumerate() {
            assert_eq!((datagram.from, datagram.range.len()), (client.local_addr().unwrap(), number));
        }
        assert_eq!(buffers.fill(socket.as_fd()).unwrap(), Rest::Empty);
        assert_eq!(buffers.datagrams().count(), 1);
        // An error leaves nothing.
        assert_eq!(buffers.fill(socket.as_fd()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(buffers.datagrams().count(), 0);
    }
}
