use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    ops::{Index, Range},
    os::fd::BorrowedFd,
};

use relay_server::{AllocationPort, DataHeader};

use super::{
    Remaining,
    receive::{BATCH, Meta, Receiver},
};

/// The longest header that data is sent on with: what comes before it in a Data indication.
const HEAD_ROOM: usize = DataHeader::MAX_LEN;

/// Data indications are padded to a multiple of four.
const TAIL_ROOM: usize = 3;

/// With GRO the kernel glues datagrams of a flow together, up to this size.
const SLOT: usize = 65_536;

/// From one slot to the next. A power of two would have the beginnings of all slots, which is all that most datagrams need,
/// compete for the same few lines of the processor's caches.
const STRIDE: usize = SLOT + 5 * 64;
const _: () = assert!(HEAD_ROOM + SLOT + TAIL_ROOM <= STRIDE);

/// Where datagrams come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ingress {
    /// A listening socket, and the address that it is bound to, `None` for all of them.
    Listener(Option<IpAddr>),
    /// The relayed transport address with this port.
    Relay(AllocationPort),
}

/// Where datagrams are received into, from one socket or several, until they are handled together. One for all sockets of a
/// thread.
pub(crate) struct ReceiveBuffers {
    bytes: Box<[u8]>,
    receiver: Box<Receiver>,
    slots: [Option<(Ingress, Meta)>; BATCH],
    filled: usize,
}

/// One datagram in [`ReceiveBuffers`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Datagram {
    /// Where it came in.
    pub(crate) ingress: Ingress,
    /// Where it came from.
    pub(crate) from: SocketAddr,
    /// The address that it was sent to, if the socket has several.
    pub(crate) to: Option<IpAddr>,
    /// Its DSCP and ECN.
    pub(crate) traffic_class: u8,
    /// Where it is.
    pub(crate) range: Range<usize>,
    /// Whether the bytes before it are another datagram's, so that no header can be written there.
    pub(crate) follows: bool,
    /// Whether those behind it are.
    pub(crate) precedes: bool,
}

/// How far [`ReceiveBuffers::next`] has come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cursor {
    slot: usize,
    /// Where the next datagram starts within the slot.
    at: usize,
}

/// What [`ReceiveBuffers::fill`] added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received {
    /// How many slots it took.
    pub(super) count: usize,
    pub(super) rest: Remaining,
    /// How many datagrams the kernel had dropped at this socket until the last of them came, if it told; wraps.
    pub(super) overruns: Option<u32>,
}

impl fmt::Debug for ReceiveBuffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiveBuffers").field("filled", &self.filled).finish_non_exhaustive()
    }
}

impl ReceiveBuffers {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; STRIDE * BATCH].into_boxed_slice(),
            receiver: Receiver::new(),
            slots: [None; BATCH],
            filled: 0,
        }
    }

    /// Forgets what was received.
    pub(crate) const fn clear(&mut self) {
        self.filled = 0;
    }

    /// How many slots are taken.
    pub(crate) const fn filled(&self) -> usize {
        self.filled
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Whether there is no room for more.
    pub(crate) const fn is_full(&self) -> bool {
        self.filled == BATCH
    }

    /// Adds what `socket` has received, `room` datagrams at most.
    pub(super) fn fill(&mut self, socket: BorrowedFd<'_>, ingress: Ingress, room: usize) -> io::Result<Received> {
        let room = room.min(BATCH - self.filled);
        let free = self.bytes[self.filled * STRIDE..].chunks_exact_mut(STRIDE).take(room);
        let free = free.map(|slot| &mut slot[HEAD_ROOM..HEAD_ROOM + SLOT]);
        let slots = &mut self.slots[self.filled..];
        let mut overruns = None;
        let count = self.receiver.receive(socket, free, |index, meta| {
            overruns = meta.and_then(|meta| meta.received.overruns).or(overruns);
            slots[index] = meta.map(|meta| (ingress, meta));
        })?;
        self.filled += count;
        Ok(Received { count, rest: if count < room { Remaining::Empty } else { Remaining::Unknown }, overruns })
    }

    /// The next datagram, in the order in which they arrived at each socket.
    pub(crate) fn next(&self, cursor: &mut Cursor) -> Option<Datagram> {
        loop {
            let slot = self.slots[..self.filled].get(cursor.slot)?;
            let Some((ingress, meta)) = slot else {
                cursor.slot += 1;
                continue;
            };
            let (length, at) = (meta.length.min(SLOT), cursor.at);
            let end = meta.received.segment.map_or(length, |segment| at + segment).min(length);
            let start = cursor.slot * STRIDE + HEAD_ROOM;
            if end < length {
                cursor.at = end;
            } else {
                *cursor = Cursor { slot: cursor.slot + 1, at: 0 };
            }
            return Some(Datagram {
                ingress: *ingress,
                from: meta.from,
                to: meta.received.to,
                traffic_class: meta.received.traffic_class,
                range: start + at..start + end,
                follows: at > 0,
                precedes: end < length,
            });
        }
    }

    /// The first of each run of datagrams that the kernel has glued together, which have all come from and to the same addresses.
    pub(crate) fn firsts(&self) -> impl Iterator<Item = Datagram> {
        let slots = (0..self.filled).filter(|&slot| self.slots[slot].is_some());
        slots.filter_map(|slot| self.next(&mut Cursor { slot, at: 0 }))
    }

    /// Adds a datagram that was here before, and whose `bytes` were kept. Does nothing if there is no room.
    pub(crate) fn restore(&mut self, datagram: &Datagram, bytes: &[u8]) {
        if self.is_full() {
            return;
        }
        let start = self.filled * STRIDE + HEAD_ROOM;
        let length = bytes.len().min(SLOT);
        self.bytes[start..start + length].copy_from_slice(&bytes[..length]);
        let Datagram { ingress, from, to, traffic_class, .. } = *datagram;
        let received = super::control::Received { to, traffic_class, ..Default::default() };
        self.slots[self.filled] = Some((ingress, Meta { from, length, received }));
        self.filled += 1;
    }

    /// Writes `header` right before `data`, which is a part of `datagram`, and `padding` zeros, up to 3, right behind it. Returns what
    /// lies in one piece then, or `None`, after writing nothing, if there are bytes of other datagrams in the way.
    pub(crate) fn wrap(
        &mut self,
        datagram: &Datagram,
        data: Range<usize>,
        header: &[u8],
        padding: usize,
    ) -> Option<Range<usize>> {
        let Datagram { range, follows, precedes, .. } = datagram;
        // Where the datagram had a header of its own, or nothing was at all, there is room.
        let before = data.start.checked_sub(range.start)? + if *follows { 0 } else { HEAD_ROOM };
        let behind = range.end.checked_sub(data.end)? + if *precedes { 0 } else { TAIL_ROOM };
        if before < header.len() || behind < padding {
            return None;
        }
        let wrapped = data.start - header.len()..data.end + padding;
        self.bytes.get_mut(wrapped.start..data.start)?.copy_from_slice(header);
        self.bytes.get_mut(data.end..wrapped.end)?.fill(0);
        Some(wrapped)
    }
}

#[cfg(test)]
impl ReceiveBuffers {
    /// Buffers that have received these datagrams at `ingress`, each from an address and sent to an address.
    pub(crate) fn holding(ingress: Ingress, datagrams: &[(SocketAddr, IpAddr, &[u8])]) -> Self {
        let mut buffers = Self::new();
        for (from, to, bytes) in datagrams {
            buffers.put(ingress, *from, Some(*to), bytes, None);
        }
        buffers
    }

    fn put(&mut self, ingress: Ingress, from: SocketAddr, to: Option<IpAddr>, bytes: &[u8], segment: Option<usize>) {
        let start = self.filled * STRIDE + HEAD_ROOM;
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        let received = super::control::Received { to, segment, ..Default::default() };
        self.slots[self.filled] = Some((ingress, Meta { from, length: bytes.len(), received }));
        self.filled += 1;
    }

    fn datagrams(&self) -> Vec<Datagram> {
        let mut cursor = Cursor::default();
        std::iter::from_fn(|| self.next(&mut cursor)).collect()
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

    const INGRESS: Ingress = Ingress::Listener(None);

    #[test]
    fn glued_datagrams_come_apart() {
        let mut buffers = ReceiveBuffers::new();
        buffers.put(INGRESS, "192.0.2.1:1".parse().unwrap(), None, b"aaabbbc", Some(3));
        buffers.put(INGRESS, "192.0.2.2:2".parse().unwrap(), None, b"dd", None);
        buffers.put(INGRESS, "192.0.2.3:3".parse().unwrap(), None, b"", None);
        buffers.put(INGRESS, "192.0.2.1:1".parse().unwrap(), None, b"eeefff", Some(3));
        let got: Vec<_> = buffers
            .datagrams()
            .into_iter()
            .map(|datagram| (datagram.from.port(), datagram.follows, buffers[datagram.range].to_vec()))
            .collect();
        let expected = [
            (1, false, &b"aaa"[..]),
            (1, true, b"bbb"),
            (1, true, b"c"),
            (2, false, b"dd"),
            (3, false, b""),
            (1, false, b"eee"),
            (1, true, b"fff"),
        ];
        assert_eq!(got, expected.map(|(port, follows, bytes)| (port, follows, bytes.to_vec())));
        let firsts: Vec<_> = buffers.firsts().map(|datagram| (datagram.from.port(), datagram.range.len())).collect();
        assert_eq!(firsts, [(1, 3), (2, 2), (3, 0), (1, 3)]);
    }

    #[test]
    fn a_header_fits_before_every_datagram_that_follows_none() {
        let mut buffers = ReceiveBuffers::new();
        for _ in 0..BATCH {
            buffers.put(INGRESS, "192.0.2.1:1".parse().unwrap(), None, b"data", None);
        }
        let longest = [7; HEAD_ROOM];
        let mut wrapped = Vec::new();
        for datagram in buffers.datagrams() {
            wrapped.push(buffers.wrap(&datagram, datagram.range.clone(), &longest, TAIL_ROOM).unwrap());
            assert_eq!(buffers.wrap(&datagram, datagram.range.clone(), &[7; HEAD_ROOM + 1], 0), None);
        }
        for wrapped in wrapped {
            assert_eq!(buffers[wrapped], [&longest[..], b"data\0\0\0"].concat());
        }
    }

    #[test]
    fn nothing_is_written_over_other_datagrams() {
        let mut buffers = ReceiveBuffers::new();
        buffers.put(INGRESS, "192.0.2.1:1".parse().unwrap(), None, b"12341234", Some(4));
        let [first, second] = buffers.datagrams().try_into().unwrap();
        assert_eq!(buffers.wrap(&first, first.range.clone(), b"head", 1), None);
        assert_eq!(buffers.wrap(&second, second.range.clone(), b"head", 0), None);
        // What is the datagram's own, and is no data, may be written over.
        let within = |datagram: &Datagram| datagram.range.start + 1..datagram.range.end - 2;
        let wrapped = buffers.wrap(&first, within(&first), b"head", 2).unwrap();
        assert_eq!(&buffers[wrapped], b"head2\0\0");
        let wrapped = buffers.wrap(&second, within(&second), b"1", 3).unwrap();
        assert_eq!(&buffers[wrapped], b"12\0\0\0");
        assert_eq!(buffers.wrap(&second, 0..second.range.end, b"", 0), None);
    }

    #[test]
    fn batches_of_several_sockets_and_the_end() {
        let sockets = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        for number in 0..BATCH {
            client.send_to(&vec![7; number], sockets[0].local_addr().unwrap()).unwrap();
        }
        client.send_to(b"other", sockets[1].local_addr().unwrap()).unwrap();
        let mut buffers = ReceiveBuffers::new();
        let relay = Ingress::Relay(AllocationPort::new(50_000));
        let fill = |buffers: &mut ReceiveBuffers, index: usize, ingress, room| {
            buffers.fill(sockets[index].as_fd(), ingress, room).map(|received| (received.count, received.rest))
        };
        assert_eq!(fill(&mut buffers, 1, relay, 2).unwrap(), (1, Remaining::Empty));
        assert_eq!(fill(&mut buffers, 0, INGRESS, 3).unwrap(), (3, Remaining::Unknown));
        assert_eq!(fill(&mut buffers, 0, INGRESS, BATCH).unwrap(), (BATCH - 4, Remaining::Unknown));
        assert!(buffers.is_full());
        let datagrams = buffers.datagrams();
        assert_eq!((datagrams[0].ingress, datagrams[0].range.len()), (relay, 5));
        for (number, datagram) in datagrams[1..].iter().enumerate() {
            let expected = (INGRESS, client.local_addr().unwrap(), number);
            assert_eq!((datagram.ingress, datagram.from, datagram.range.len()), expected);
        }
        buffers.clear();
        assert_eq!(fill(&mut buffers, 0, INGRESS, BATCH).unwrap(), (1, Remaining::Empty));
        // An error adds nothing.
        assert_eq!(fill(&mut buffers, 0, INGRESS, BATCH).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(buffers.datagrams().len(), 1);
    }
}
