//! Many datagrams with one system call: several messages (`sendmmsg`), each of which the kernel may cut into several datagrams
//! (GSO).
#![expect(unsafe_code, reason = "sendmmsg")]

use std::{
    cell::Cell,
    fmt, io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

use super::{control::Control, name::Name, options};

/// How many messages go into one system call.
const MESSAGES: usize = 64;
/// How many datagrams the kernel makes of one message at most: UDP_MAX_SEGMENTS until Linux 6.9.
const SEGMENTS: usize = 64;
/// How long all datagrams of one message may be together, so that they would fit one IPv6 packet.
const MESSAGE_LENGTH: usize = 65_000;
/// The kernel does not cut into datagrams that are longer than the MTU, so do not try beyond Ethernet's, less the IPv6 and UDP
/// headers.
const LARGEST_SEGMENT: usize = 1_500 - 40 - 8;
/// What datagrams are padded with.
static ZEROS: [u8; 3] = [0; 3];
/// For how many calls a socket goes without segmentation after the kernel has refused it there: that may concern one route only.
const PAUSE: u32 = 10_000;

/// One datagram to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    /// Where from, if the socket is not bound to one address.
    pub(crate) source: Option<IpAddr>,
    /// Where to.
    pub(crate) to: SocketAddr,
    /// DSCP and ECN.
    pub(crate) traffic_class: u8,
    /// What comes before the payload.
    pub(crate) header: &'a [u8],
    pub(crate) payload: &'a [u8],
    /// How many zeros come behind the payload: up to 3.
    pub(crate) padding: u8,
}

impl Message<'_> {
    fn length(&self) -> usize {
        self.header.len() + self.payload.len() + usize::from(self.padding)
    }
}

/// Consecutive datagrams that are one message to the kernel.
#[derive(Clone, Copy, Debug)]
struct Group {
    /// The first datagram, and how many.
    first: usize,
    count: usize,
    /// The length of each but the last.
    segment: usize,
    /// The length of all.
    length: usize,
    /// Where its slices start, and how many there are.
    slices: usize,
    slice_count: usize,
    /// Nothing can come after a shorter one.
    closed: bool,
}

impl Group {
    /// A group of one datagram, which others may join.
    const fn of_one(index: usize, length: usize, slices: usize, slice_count: usize) -> Self {
        let closed = length > LARGEST_SEGMENT || length == 0;
        Self { first: index, count: 1, segment: length, length, slices, slice_count, closed }
    }
}

/// Sends datagrams; keeps its memory from one time to the next.
pub(crate) struct Sender {
    can_segment: bool,
    /// Whether the log says that it was refused.
    is_told: bool,
    groups: Vec<Group>,
    slices: Vec<libc::iovec>,
    messages: Vec<libc::mmsghdr>,
    names: Box<[Name; MESSAGES]>,
    controls: Box<[Control; MESSAGES]>,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("can_segment", &self.can_segment).finish_non_exhaustive()
    }
}

impl Default for Sender {
    fn default() -> Self {
        Self {
            can_segment: options::can_segment(),
            is_told: false,
            groups: Vec::new(),
            slices: Vec::new(),
            messages: Vec::new(),
            names: Box::new([Name::new(); MESSAGES]),
            controls: Box::new(std::array::from_fn(|_| Control::new())),
        }
    }
}

impl Sender {
    /// Sends `datagrams` in this order without waiting, and tells `done` of each, by index. While `pause`, which
    /// counts down with each call, is not 0, `socket` goes without segmentation. A call that failed is tried once more if `retry` says so.
    pub(super) fn send<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        pause: &Cell<u32>,
        retry: fn(&io::Error) -> bool,
        datagrams: impl ExactSizeIterator<Item = Message<'a>> + Clone,
        mut done: impl FnMut(usize, Result<(), &io::Error>),
    ) {
        self.group(datagrams.clone(), pause.get() == 0);
        pause.set(pause.get().saturating_sub(1));
        let groups = std::mem::take(&mut self.groups);
        let mut start = 0;
        while start < groups.len() {
            let end = groups.len().min(start + MESSAGES);
            match self.try_groups(socket, &groups[start..end], &datagrams, retry) {
                Ok(sent) => {
                    for group in &groups[start..start + sent] {
                        (group.first..group.first + group.count).for_each(|index| done(index, Ok(())));
                    }
                    start += sent;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // There is no more room for what follows either.
                    (groups[start].first..datagrams.len()).for_each(|index| done(index, Err(&error)));
                    break;
                }
                Err(error) => {
                    if self.may_go_one_by_one(pause, groups[start], &error) {
                        self.send_one_by_one(socket, retry, groups[start], datagrams.clone(), &mut done);
                    } else {
                        let Group { first, count, .. } = groups[start];
                        (first..first + count).for_each(|index| done(index, Err(&error)));
                    }
                    start += 1;
                }
            }
        }
        self.groups = groups;
        self.groups.clear();
    }

    /// Whether the datagrams of `group`, whose message failed with `error`, may each fare better without segmentation.
    fn may_go_one_by_one(&mut self, pause: &Cell<u32>, group: Group, error: &io::Error) -> bool {
        match error.raw_os_error() {
            _ if group.count == 1 => false,
            // One of them may be too long for the path, or the kernel wants no segments of this size.
            Some(libc::EINVAL | libc::EMSGSIZE) => true,
            // What the kernel says where a device, a tunnel or the kernel itself cannot do it at all.
            Some(libc::EIO | libc::EOPNOTSUPP | libc::ENOPROTOOPT) => {
                pause.set(PAUSE);
                if !std::mem::replace(&mut self.is_told, true) {
                    tracing::info!(%error, "no segmentation offload for a while where it was refused; sending datagrams one by one");
                }
                true
            }
            // No route, or forbidden: each of them would fail as well.
            _ => false,
        }
    }

    /// Sends the datagrams of `group` without segmentation.
    fn send_one_by_one<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        retry: fn(&io::Error) -> bool,
        group: Group,
        datagrams: impl ExactSizeIterator<Item = Message<'a>> + Clone,
        done: &mut impl FnMut(usize, Result<(), &io::Error>),
    ) {
        // Other groups still need theirs.
        let slices = std::mem::take(&mut self.slices);
        for (offset, datagram) in datagrams.skip(group.first).take(group.count).enumerate() {
            self.slices.clear();
            self.push_slices(&datagram);
            let single = Group::of_one(0, datagram.length(), 0, self.slices.len());
            let result = self.try_groups(socket, &[single], &std::iter::once(datagram), retry);
            done(group.first + offset, result.as_ref().map(drop));
        }
        self.slices = slices;
    }

    /// Finds out what can go together, if anything may.
    fn group<'a>(&mut self, datagrams: impl Iterator<Item = Message<'a>>, may_segment: bool) {
        self.groups.clear();
        self.slices.clear();
        let may_segment = may_segment && self.can_segment;
        let mut previous: Option<Message<'a>> = None;
        for (index, datagram) in datagrams.enumerate() {
            let length = datagram.length();
            let slices = self.slices.len();
            self.push_slices(&datagram);
            let joins = may_segment
                && previous.is_some_and(|previous| {
                    (previous.to, previous.source, previous.traffic_class)
                        == (datagram.to, datagram.source, datagram.traffic_class)
                });
            previous = Some(datagram);
            if joins
                && let Some(group) = self.groups.last_mut()
                && !group.closed
                && group.count < SEGMENTS
                && length > 0
                && length <= group.segment
                && group.length + length <= MESSAGE_LENGTH
            {
                group.count += 1;
                group.length += length;
                group.slice_count = self.slices.len() - group.slices;
                group.closed = length < group.segment;
                continue;
            }
            self.groups.push(Group::of_one(index, length, slices, self.slices.len() - slices));
        }
    }

    fn push_slices(&mut self, datagram: &Message<'_>) {
        let mut push = |bytes: &[u8]| {
            self.slices.push(libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() });
        };
        if !datagram.header.is_empty() {
            push(datagram.header);
        }
        push(datagram.payload);
        if datagram.padding > 0 {
            push(&ZEROS[..ZEROS.len().min(usize::from(datagram.padding))]);
        }
    }

    /// [`Self::send_groups`], once more if it failed and `retry` says so.
    fn try_groups<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        groups: &[Group],
        datagrams: &(impl Iterator<Item = Message<'a>> + Clone),
        retry: fn(&io::Error) -> bool,
    ) -> io::Result<usize> {
        match self.send_groups(socket, groups, datagrams.clone()) {
            Err(error) if retry(&error) => self.send_groups(socket, groups, datagrams.clone()),
            result => result,
        }
    }

    /// Sends one message for each of `groups`, of which there are at most [`MESSAGES`]; returns how many the kernel took, at least
    /// one. Their slices are in `self.slices`, and the memory behind those is borrowed through `datagrams`.
    fn send_groups<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        groups: &[Group],
        datagrams: impl Iterator<Item = Message<'a>>,
    ) -> io::Result<usize> {
        self.messages.clear();
        let mut datagrams = datagrams.enumerate();
        let places = self.names.iter_mut().zip(self.controls.iter_mut());
        for (group, (name, control)) in groups.iter().zip(places) {
            let Some((_, datagram)) = datagrams.find(|(index, _)| *index == group.first) else { break };
            name.write(datagram.to);
            control.clear();
            if datagram.traffic_class != 0 {
                control.push_traffic_class(datagram.to.is_ipv4(), datagram.traffic_class);
            }
            if let Some(source) = datagram.source {
                control.push_source(source);
            }
            if group.count > 1 {
                control.push_segment(u16::try_from(group.segment).unwrap_or(u16::MAX));
            }
            // SAFETY: all zeros is a message header without a name, a content or a control message.
            let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
            header.msg_name = name.as_mut_ptr();
            header.msg_namelen = name.length();
            header.msg_iov = self.slices[group.slices..].as_mut_ptr();
            header.msg_iovlen = group.slice_count;
            if control.used() > 0 {
                header.msg_control = control.as_mut_ptr();
                header.msg_controllen = control.used();
            }
            self.messages.push(libc::mmsghdr { msg_hdr: header, msg_len: 0 });
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        loop {
            let result = match &mut self.messages[..] {
                [message] if message.msg_hdr.msg_iovlen == 1 && message.msg_hdr.msg_controllen == 0 => {
                    let header = &message.msg_hdr;
                    // SAFETY: the message points to a name, and to one slice; the slice is that of a datagram which the caller
                    // borrows until after the call. The kernel only reads. The socket is open while it is borrowed.
                    unsafe {
                        let slice = &*header.msg_iov;
                        let name = header.msg_name.cast_const().cast();
                        let (bytes, length) = (slice.iov_base, slice.iov_len);
                        // The kernel has a header less to fetch and to check.
                        libc::sendto(socket.as_raw_fd(), bytes, length, flags, name, header.msg_namelen).min(1)
                    }
                }
                // SAFETY: the message points to a name, to control messages and to slices with the lengths that these have;
                // the slices are those of datagrams that the caller borrows until after the call. The kernel only reads. The
                // socket is open while it is borrowed.
                [message] => unsafe {
                    libc::sendmsg(socket.as_raw_fd(), ptr::from_ref(&message.msg_hdr), flags).min(1)
                },
                messages => {
                    let count = libc::c_uint::try_from(messages.len()).map_err(io::Error::other)?;
                    // SAFETY: as above, for each of the messages.
                    let result =
                        unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), count, flags as _) };
                    isize::try_from(result).map_err(io::Error::other)?
                }
            };
            if result >= 0 {
                // An empty datagram is one, too.
                return Ok(usize::try_from(result).unwrap_or_default().max(1));
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

#[cfg(test)]
#[path = "send_tests.rs"]
mod tests;
