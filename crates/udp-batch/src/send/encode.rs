//! Encodes groups of datagrams for the kernel, and makes the system call.
#![expect(unsafe_code, reason = "sendmmsg")]

use std::{
    io,
    marker::PhantomData,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

use super::{message::Message, plan::Group};
use crate::{control::Control, raw_address::RawAddress};

/// How many messages go into one system call.
pub(super) const MESSAGES: usize = 64;

/// The memory that the kernel reads besides the contents.
pub(super) struct Encoder {
    addresses: Box<[RawAddress; MESSAGES]>,
    controls: Box<[Control; MESSAGES]>,
    /// Valid during the life of an [`Encoded`] only; kept to reuse the memory.
    slices: Vec<libc::iovec>,
    messages: Vec<libc::mmsghdr>,
}

// SAFETY: the pointers in `slices` and `messages` are used by an `Encoded` only, which borrows the encoder.
unsafe impl Send for Encoder {}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            addresses: Box::new([RawAddress::new(); MESSAGES]),
            controls: Box::new(std::array::from_fn(|_| Control::new())),
            slices: Vec::new(),
            messages: Vec::new(),
        }
    }
}

/// Messages to send, at least one.
///
/// Invariant: each message points to an address, to control messages if their length is not 0, and to slices, with the lengths that these
/// have; and each slice points to bytes of its length. All of it is borrowed for `'a`.
pub(super) struct Encoded<'a> {
    messages: &'a mut [libc::mmsghdr],
    borrowed: PhantomData<&'a [u8]>,
}

impl Encoder {
    /// Makes a message of each of `groups`, at most [`MESSAGES`]. `datagrams` begins with the datagrams of the groups, and may have more.
    pub(super) fn encode<'a, 'm: 'a>(
        &'a mut self,
        groups: &[Group],
        mut datagrams: impl Iterator<Item = Message<'m>>,
    ) -> Encoded<'a> {
        let Self { addresses, controls, slices, messages } = self;
        slices.clear();
        messages.clear();
        for (group, (address, control)) in groups.iter().zip(addresses.iter_mut().zip(controls.iter_mut())) {
            let Some(datagram) = datagrams.next() else { break };
            address.write(datagram.to);
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
            let before = slices.len();
            push_slices(&datagram, slices);
            for _ in 1..group.count {
                datagrams.next().iter().for_each(|datagram| push_slices(datagram, slices));
            }
            // SAFETY: all zeros is a message header without an address, a content or a control message.
            let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
            header.msg_name = address.as_mut_ptr();
            header.msg_namelen = address.length();
            header.msg_iovlen = slices.len() - before;
            if control.used() > 0 {
                header.msg_control = control.as_mut_ptr();
                header.msg_controllen = control.used();
            }
            messages.push(libc::mmsghdr { msg_hdr: header, msg_len: 0 });
        }
        // The list of slices is complete and does not move any more, so it can be pointed to.
        let mut rest = &mut slices[..];
        for message in &mut *messages {
            let (own, others) = rest.split_at_mut(message.msg_hdr.msg_iovlen);
            message.msg_hdr.msg_iov = own.as_mut_ptr();
            rest = others;
        }
        Encoded { messages, borrowed: PhantomData }
    }

    #[cfg(test)]
    pub(super) fn slices_of_first(&self) -> usize {
        self.messages[0].msg_hdr.msg_iovlen
    }
}

#[inline]
fn push_slices(datagram: &Message<'_>, slices: &mut Vec<libc::iovec>) {
    let mut push = |bytes: &[u8]| {
        slices.push(libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() });
    };
    if !datagram.header.is_empty() {
        push(datagram.header);
    }
    push(datagram.payload);
    if datagram.padding > 0 {
        push(datagram.zeros());
    }
}

impl Encoded<'_> {
    /// Sends the messages without blocking. If that fails, and `retry` says so, tries once more. Returns how many messages the kernel
    /// accepted, at least one.
    pub(super) fn send(mut self, socket: BorrowedFd<'_>, retry: fn(&io::Error) -> bool) -> io::Result<usize> {
        match self.try_send(socket) {
            Err(error) if retry(&error) => self.try_send(socket),
            result => result,
        }
    }

    fn try_send(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        loop {
            let result = match &mut *self.messages {
                [message] if message.msg_hdr.msg_iovlen == 1 && message.msg_hdr.msg_controllen == 0 => {
                    let header = &message.msg_hdr;
                    // SAFETY: by the invariant there is one slice, to which `msg_iov` points, and all pointers are valid. The kernel only
                    // reads. The socket is open while it is borrowed.
                    unsafe {
                        let slice = &*header.msg_iov;
                        let address = header.msg_name.cast_const().cast();
                        let (bytes, length) = (slice.iov_base, slice.iov_len);
                        // Without a message header, which the kernel would have to fetch and check.
                        libc::sendto(socket.as_raw_fd(), bytes, length, flags, address, header.msg_namelen).min(1)
                    }
                }
                // SAFETY: by the invariant all pointers are valid. The kernel only reads. The socket is open while it is borrowed.
                [message] => unsafe {
                    libc::sendmsg(socket.as_raw_fd(), ptr::from_ref(&message.msg_hdr), flags).min(1)
                },
                messages => {
                    let count = libc::c_uint::try_from(messages.len()).map_err(io::Error::other)?;
                    // SAFETY: as above, for each of the `count` messages, whose `msg_len` the kernel writes.
                    let result =
                        unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), count, flags as _) };
                    isize::try_from(result).map_err(io::Error::other)?
                }
            };
            if result >= 0 {
                // Sending an empty datagram returns 0, too.
                return Ok(usize::try_from(result).unwrap_or_default().max(1));
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}
