//! Many datagrams with one system call.
#![expect(unsafe_code, reason = "recvmmsg")]

use std::{
    fmt,
    io::{self, IoSliceMut},
    net::SocketAddr,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

use super::{
    control::{Control, Received},
    name::Name,
};

/// How many datagrams, or glued ones, are received at most with one system call.
pub(super) const BATCH: usize = 32;

/// A datagram that was received, or several glued ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meta {
    pub(super) from: SocketAddr,
    pub(super) length: usize,
    pub(super) received: Received,
}

/// What the kernel writes beside the contents.
pub(super) struct Receiver {
    names: [Name; BATCH],
    controls: [Control; BATCH],
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

impl Receiver {
    pub(super) fn new() -> Box<Self> {
        Box::new(Self { names: [Name::new(); BATCH], controls: std::array::from_fn(|_| Control::new()) })
    }

    /// Receives into `slots` without waiting, and tells `each` of what came, by index.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when there is nothing; those of `recvmmsg`.
    pub(super) fn receive(
        &mut self,
        socket: BorrowedFd<'_>,
        slots: &mut [IoSliceMut<'_>],
        mut each: impl FnMut(usize, Option<Meta>),
    ) -> io::Result<usize> {
        let count = slots.len().min(BATCH);
        let mut messages = [EMPTY; BATCH];
        let parts = self.names.iter_mut().zip(&mut self.controls).zip(slots.iter_mut());
        for (message, ((name, control), slot)) in messages.iter_mut().zip(parts) {
            *name = Name::new();
            let header = &mut message.msg_hdr;
            header.msg_name = name.as_mut_ptr();
            header.msg_namelen = name.length();
            // An `IoSliceMut` is laid out like an `iovec`: std promises so.
            header.msg_iov = ptr::from_mut(slot).cast();
            header.msg_iovlen = 1;
            header.msg_controllen = control.space();
            header.msg_control = control.as_mut_ptr();
        }
        let length = libc::c_uint::try_from(count).map_err(io::Error::other)?;
        let received = loop {
            // SAFETY: the first `count` messages point to a name, a control buffer and a slot each, with the lengths that these
            // have, which all outlive the call and which nothing else uses meanwhile; the socket is open while it is borrowed.
            let result = unsafe {
                libc::recvmmsg(
                    socket.as_raw_fd(),
                    messages.as_mut_ptr(),
                    length,
                    libc::MSG_DONTWAIT as _,
                    ptr::null_mut(),
                )
            };
            if let Ok(received) = usize::try_from(result) {
                break received.min(count);
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        };
        for (index, message) in messages[..received].iter().enumerate() {
            let meta = self.names[index].read().map(|from| Meta {
                from,
                length: usize::try_from(message.msg_len).unwrap_or_default(),
                received: self.controls[index].read(message.msg_hdr.msg_controllen),
            });
            each(index, meta);
        }
        Ok(received)
    }
}

const EMPTY: libc::mmsghdr = libc::mmsghdr {
    // SAFETY: all zeros is a message header without a name, a content or a control message.
    msg_hdr: unsafe { std::mem::zeroed() },
    msg_len: 0,
};
