use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    ops::{Index, Range},
    os::fd::BorrowedFd,
};

use super::receiver::{Arrived, BATCH, Receiver};
use crate::control::Metadata;

/// How many bytes are free before each received datagram, for [`ReceiveBuffers::wrap`].
pub const HEAD_ROOM: usize = 48;

/// How many bytes are free after each received datagram, for [`ReceiveBuffers::wrap`]: enough to pad to a multiple of four.
pub const TAIL_ROOM: usize = 3;

/// The size of a slot in bytes: with GRO the kernel merges datagrams of a flow up to this size.
const SLOT: usize = 65_536;

/// The distance from one slot to the next in bytes. Most datagrams fill only the beginning of a slot. If the distance were a power of
/// two, the beginnings of all slots would compete for the same few cache lines.
const STRIDE: usize = SLOT + 5 * 64;
const _: () = assert!(HEAD_ROOM + SLOT + TAIL_ROOM <= STRIDE);

/// Buffers for a batch of datagrams from one or several sockets. All sockets of a thread can share one.
///
/// There are 32 slots ([`BATCH`]) of 64 KiB. Memory that no datagram has reached is not resident.
///
/// `T` is the tag that [`UdpSocket::receive`](crate::UdpSocket::receive) attaches to each datagram, to tell the sockets apart.
pub struct ReceiveBuffers<T> {
    bytes: Box<[u8]>,
    receiver: Box<Receiver>,
    slots: [Option<(T, Arrived)>; BATCH],
    filled: usize,
}

/// One datagram in [`ReceiveBuffers`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram<T> {
    /// What the caller of [`UdpSocket::receive`](crate::UdpSocket::receive) attached.
    pub tag: T,
    /// The sender.
    pub from: SocketAddr,
    /// The destination address, if the socket is bound to the unspecified address. Otherwise it is the address that the socket is bound to.
    pub to: Option<IpAddr>,
    /// The traffic class: DSCP in the upper six bits, ECN in the lower two.
    pub traffic_class: u8,
    /// The range of the content in the [`ReceiveBuffers`], which it indexes.
    pub range: Range<usize>,
    /// Whether the bytes before it belong to another datagram.
    pub follows: bool,
    /// Whether the bytes after it belong to another datagram.
    pub precedes: bool,
}

/// A position in [`ReceiveBuffers`], for [`ReceiveBuffers::next_datagram`].
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    slot: usize,
    /// Where the next datagram starts within the slot.
    at: usize,
}

/// Whether a socket may have more to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remaining {
    /// It is empty. Edge-triggered polling reports it again when something arrives.
    Empty,
    /// It may have more: receive again.
    Unknown,
}

/// What [`ReceiveBuffers::fill`] added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Filled {
    /// How many slots it filled.
    pub(crate) count: usize,
    pub(crate) remaining: Remaining,
    /// How many datagrams the kernel had dropped at this socket when the last of them arrived, if it said so; wraps.
    pub(crate) drops: Option<u32>,
}

impl<T> fmt::Debug for ReceiveBuffers<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiveBuffers").field("filled", &self.filled).finish_non_exhaustive()
    }
}

impl<T: Copy> Default for ReceiveBuffers<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> ReceiveBuffers<T> {
    /// Removes all datagrams.
    pub const fn clear(&mut self) {
        self.filled = 0;
    }

    /// How many slots are taken.
    #[must_use]
    pub const fn filled(&self) -> usize {
        self.filled
    }

    /// Whether no slot is taken.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Whether no slot is free.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.filled == BATCH
    }
}

impl<T: Copy> ReceiveBuffers<T> {
    /// Empty buffers.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bytes: vec![0; STRIDE * BATCH].into_boxed_slice(),
            receiver: Receiver::new(),
            slots: [None; BATCH],
            filled: 0,
        }
    }

    /// Receives from `socket` into at most `room` slots.
    pub(crate) fn fill(&mut self, socket: BorrowedFd<'_>, tag: T, room: usize) -> io::Result<Filled> {
        let room = room.min(BATCH - self.filled);
        let free = self.bytes[self.filled * STRIDE..].chunks_exact_mut(STRIDE).take(room);
        let free = free.map(|slot| &mut slot[HEAD_ROOM..HEAD_ROOM + SLOT]);
        let slots = &mut self.slots[self.filled..];
        let mut drops = None;
        let count = self.receiver.receive(socket, free, |index, arrived| {
            drops = arrived.and_then(|arrived| arrived.metadata.drops).or(drops);
            slots[index] = arrived.map(|arrived| (tag, arrived));
        })?;
        self.filled += count;
        let remaining = if count < room { Remaining::Empty } else { Remaining::Unknown };
        Ok(Filled { count, remaining, drops })
    }

    /// Returns the datagram at `cursor`, and moves `cursor` to the next. Datagrams of one socket are in the order of arrival.
    #[inline]
    pub fn next_datagram(&self, cursor: &mut Cursor) -> Option<Datagram<T>> {
        loop {
            let slot = self.slots[..self.filled].get(cursor.slot)?;
            let Some((tag, arrived)) = slot else {
                cursor.slot += 1;
                continue;
            };
            let (length, at) = (arrived.length.min(SLOT), cursor.at);
            let end = arrived.metadata.segment.map_or(length, |segment| at + segment).min(length);
            let start = cursor.slot * STRIDE + HEAD_ROOM;
            if end < length {
                cursor.at = end;
            } else {
                *cursor = Cursor { slot: cursor.slot + 1, at: 0 };
            }
            return Some(Datagram {
                tag: *tag,
                from: arrived.from,
                to: arrived.metadata.to,
                traffic_class: arrived.metadata.traffic_class,
                range: start + at..start + end,
                follows: at > 0,
                precedes: end < length,
            });
        }
    }

    /// Adds a datagram that was received earlier, and whose `bytes` the caller has kept. Ignores `range`, `follows` and `precedes` of
    /// `datagram`. Does nothing if no slot is free.
    pub fn restore(&mut self, datagram: &Datagram<T>, bytes: &[u8]) {
        let Datagram { tag, from, to, traffic_class, .. } = *datagram;
        self.put(tag, from, Metadata { to, traffic_class, ..Metadata::default() }, bytes);
    }

    fn put(&mut self, tag: T, from: SocketAddr, metadata: Metadata, bytes: &[u8]) {
        if self.is_full() {
            return;
        }
        let start = self.filled * STRIDE + HEAD_ROOM;
        let length = bytes.len().min(SLOT);
        self.bytes[start..start + length].copy_from_slice(&bytes[..length]);
        self.slots[self.filled] = Some((tag, Arrived { from, length, metadata }));
        self.filled += 1;
    }

    /// Writes `header` right before `data`, a part of `datagram`, and `padding` zeros right after it. Returns the range of header,
    /// data and padding.
    ///
    /// [`HEAD_ROOM`] bytes before and [`TAIL_ROOM`] bytes after `datagram` are free. The bytes of `datagram` outside `data` can be
    /// overwritten, too. Returns `None`, and writes nothing, if there is not enough room. That happens where the kernel has merged
    /// datagrams: then the bytes before and after this one belong to others.
    #[inline]
    pub fn wrap(
        &mut self,
        datagram: &Datagram<T>,
        data: Range<usize>,
        header: &[u8],
        padding: usize,
    ) -> Option<Range<usize>> {
        let Datagram { range, follows, precedes, .. } = datagram;
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

impl<T> Index<Range<usize>> for ReceiveBuffers<T> {
    type Output = [u8];

    #[inline]
    fn index(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }
}

#[cfg(test)]
#[path = "buffers_tests.rs"]
mod tests;
