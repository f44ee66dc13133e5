//! Many datagrams with one system call.
#![expect(unsafe_code, reason = "recvmmsg")]

use std::{
    fmt, io,
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
    /// Only of use during a call; kept for their memory.
    slices: Vec<libc::iovec>,
    messages: Vec<libc::mmsghdr>,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

impl Receiver {
    pub(super) fn new() -> Box<Self> {
        Box::new(Self {
            names: [Name::new(); BATCH],
            controls: std::array::from_fn(|_| Control::new()),
            slices: Vec::with_capacity(BATCH),
            messages: Vec::with_capacity(BATCH),
        })
    }

    /// Receives into `slots` without waiting, [`BATCH`] of them at most, and tells `each` of what came, by index.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when there is nothing; those of `recvmmsg`.
    pub(super) fn receive<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        slots: impl Iterator<Item = &'a mut [u8]>,
        mut each: impl FnMut(usize, Option<Meta>),
    ) -> io::Result<usize> {
        self.slices.clear();
        self.slices.extend(
            slots.take(BATCH).map(|slot| libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() }),
        );
        self.messages.clear();
        let parts = self.names.iter_mut().zip(&mut self.controls).zip(&mut self.slices);
        self.messages.extend(parts.map(|((name, control), slice)| {
            *name = Name::new();
            let mut message = EMPTY;
            let header = &mut message.msg_hdr;
            header.msg_name = name.as_mut_ptr();
            header.msg_namelen = name.length();
            header.msg_iov = slice;
            header.msg_iovlen = 1;
            header.msg_controllen = control.space();
            header.msg_control = control.as_mut_ptr();
            message
        }));
        let length = libc::c_uint::try_from(self.messages.len()).map_err(io::Error::other)?;
        let received = loop {
            // SAFETY: each of the `length` messages points to a name, a control buffer and a slice of its own, with the lengths
            // that these have, and the slice to a slot, which is borrowed for `'a`; all outlive the call, and nothing else uses
            // them meanwhile. The socket is open while it is borrowed.
            let result = unsafe {
                libc::recvmmsg(
                    socket.as_raw_fd(),
                    self.messages.as_mut_ptr(),
                    length,
                    libc::MSG_DONTWAIT as _,
                    ptr::null_mut(),
                )
            };
            if let Ok(received) = usize::try_from(result) {
                break received.min(self.messages.len());
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        };
        for (index, message) in self.messages[..received].iter().enumerate() {
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
