//! Decides which datagrams become one message: consecutive ones with the same destination, source, traffic class and length. The last
//! one may be shorter.

use std::ops::Range;

use super::message::Message;

/// How many datagrams one message may have: UDP_MAX_SEGMENTS until Linux 6.9.
const SEGMENTS: usize = 64;
/// How many bytes all datagrams of one message may have together: they must fit one IPv6 packet.
const MESSAGE_LENGTH: usize = 65_000;
/// The longest segment in bytes. The kernel refuses segments longer than the MTU; this is Ethernet's, less the IPv6 and UDP headers.
const LARGEST_SEGMENT: usize = 1_500 - 40 - 8;

/// Consecutive datagrams that become one message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    /// The index of the first datagram.
    pub(super) first: usize,
    /// How many datagrams there are.
    pub(super) count: usize,
    /// The length of each but the last.
    pub(super) segment: usize,
    /// The length of all.
    length: usize,
    /// Whether no other datagram can join: the last one is shorter than the others, empty, or too long to be a segment.
    closed: bool,
}

impl Group {
    /// A group of one datagram, which others may join.
    #[inline]
    pub(super) const fn of_one(index: usize, length: usize) -> Self {
        let closed = length > LARGEST_SEGMENT || length == 0;
        Self { first: index, count: 1, segment: length, length, closed }
    }

    /// The indices of its datagrams.
    #[inline]
    pub(super) const fn datagrams(&self) -> Range<usize> {
        self.first..self.first + self.count
    }
}

/// Writes the groups of `datagrams` to `groups`; each datagram is a group of its own unless `may_segment`.
pub(super) fn plan<'a>(datagrams: impl Iterator<Item = Message<'a>>, may_segment: bool, groups: &mut Vec<Group>) {
    groups.clear();
    let mut previous: Option<Message<'a>> = None;
    for (index, datagram) in datagrams.enumerate() {
        let length = datagram.length();
        let joins = may_segment
            && previous.is_some_and(|previous| {
                (previous.to, previous.source, previous.traffic_class)
                    == (datagram.to, datagram.source, datagram.traffic_class)
            });
        previous = Some(datagram);
        if joins
            && let Some(group) = groups.last_mut()
            && !group.closed
            && group.count < SEGMENTS
            && length > 0
            && length <= group.segment
            && group.length + length <= MESSAGE_LENGTH
        {
            group.count += 1;
            group.length += length;
            group.closed = length < group.segment;
            continue;
        }
        groups.push(Group::of_one(index, length));
    }
}
