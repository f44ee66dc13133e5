use std::{
    fmt,
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    ops::{Index, IndexMut, Range},
};

use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta};

/// How many bytes before every datagram can be overwritten: room for a ChannelData header.
pub(crate) const HEAD_ROOM: usize = 4;

/// With GRO the kernel glues datagrams of a flow together, up to this size.
const SLOT: usize = HEAD_ROOM + 65_536;

/// Where one batch of datagrams is received into. One for all sockets of a thread: what is in it is done with before the next
/// socket is read.
pub(crate) struct ReceiveBuffers {
    bytes: Box<[u8]>,
    metas: [RecvMeta; BATCH_SIZE],
    filled: usize,
}

/// One datagram in [`ReceiveBuffers`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Datagram {
    /// Where it came from.
    pub(crate) from: SocketAddr,
    /// The address that it was sent to.
    pub(crate) to: Option<IpAddr>,
    /// Its ECN field.
    pub(crate) ecn: Option<EcnCodepoint>,
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
            bytes: vec![0; SLOT * BATCH_SIZE].into_boxed_slice(),
            metas: [RecvMeta::default(); BATCH_SIZE],
            filled: 0,
        }
    }

    /// Replaces the content by what `receive` puts into the slices, whose number it returns.
    pub(super) fn fill(
        &mut self,
        receive: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> io::Result<usize>,
    ) -> io::Result<()> {
        self.filled = 0;
        let mut slots = self.bytes.chunks_exact_mut(SLOT);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] = std::array::from_fn(|_| {
            let slot = slots.next().unwrap_or_default();
            IoSliceMut::new(slot.get_mut(HEAD_ROOM..).unwrap_or_default())
        });
        self.filled = receive(&mut slices, &mut self.metas)?.min(BATCH_SIZE);
        Ok(())
    }

    /// The datagrams, in the order in which they arrived. Those that were glued together share their head room: each may be
    /// overwritten by the next one's header once it is done with.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = Datagram> {
        self.metas[..self.filled].iter().enumerate().flat_map(|(slot, meta)| {
            let start = slot * SLOT + HEAD_ROOM;
            let end = start + meta.len.min(SLOT - HEAD_ROOM);
            // An empty datagram is one, too.
            let stride = meta.stride.max(1);
            let count = meta.len.div_ceil(stride).max(1);
            (0..count).map(move |index| {
                let first = start + index * stride;
                Datagram {
                    from: meta.addr,
                    to: meta.dst_ip,
                    ecn: meta.ecn,
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
        let filled = buffers.fill(|slices, metas| {
            for ((slice, meta), (from, to, bytes)) in slices.iter_mut().zip(metas).zip(datagrams) {
                slice[..bytes.len()].copy_from_slice(bytes);
                meta.addr = *from;
                meta.dst_ip = Some(*to);
                meta.len = bytes.len();
                meta.stride = bytes.len();
            }
            Ok(datagrams.len())
        });
        filled.unwrap();
        buffers
    }
}

impl Index<Range<usize>> for ReceiveBuffers {
    type Output = [u8];

    fn index(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }
}

impl IndexMut<Range<usize>> for ReceiveBuffers {
    fn index_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        &mut self.bytes[range]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(from: &str, length: usize, stride: usize) -> RecvMeta {
        let mut meta = RecvMeta::default();
        meta.addr = from.parse().unwrap();
        meta.len = length;
        meta.stride = stride;
        meta
    }

    #[test]
    fn glued_datagrams_come_apart() {
        let mut buffers = ReceiveBuffers::new();
        buffers
            .fill(|slices, metas| {
                slices[0][..7].copy_from_slice(b"aaabbbc");
                metas[0] = meta("192.0.2.1:1", 7, 3);
                slices[1][..2].copy_from_slice(b"dd");
                metas[1] = meta("192.0.2.2:2", 2, 2);
                metas[2] = meta("192.0.2.3:3", 0, 0);
                Ok(3)
            })
            .unwrap();
        let got: Vec<_> =
            buffers.datagrams().map(|datagram| (datagram.from.port(), buffers[datagram.range].to_vec())).collect();
        let expected = [(1, &b"aaa"[..]), (1, b"bbb"), (1, b"c"), (2, b"dd"), (3, b"")];
        assert_eq!(got, expected.map(|(port, bytes)| (port, bytes.to_vec())));
        assert!(buffers.datagrams().all(|datagram| datagram.range.start >= HEAD_ROOM));
    }

    #[test]
    fn an_error_leaves_nothing() {
        let mut buffers = ReceiveBuffers::new();
        buffers.fill(|_, _| Ok(1)).unwrap();
        buffers.fill(|_, _| Err(io::ErrorKind::WouldBlock.into())).unwrap_err();
        assert_eq!(buffers.datagrams().count(), 0);
    }

    #[test]
    fn the_largest_slot_fits() {
        let mut buffers = ReceiveBuffers::new();
        buffers
            .fill(|slices, metas| {
                assert_eq!(slices.len(), BATCH_SIZE);
                for (slice, meta) in slices.iter().zip(metas.iter_mut()) {
                    meta.len = slice.len();
                    meta.stride = 1;
                }
                Ok(BATCH_SIZE)
            })
            .unwrap();
        let last = buffers.datagrams().last().unwrap().range;
        assert_eq!(last.end, SLOT * BATCH_SIZE);
        assert_eq!(buffers.datagrams().count(), BATCH_SIZE * (SLOT - HEAD_ROOM));
    }
}
