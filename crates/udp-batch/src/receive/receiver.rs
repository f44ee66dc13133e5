//! Receives many datagrams with one system call.
#![expect(unsafe_code, reason = "recvmmsg")]

use std::{
    fmt, io,
    net::SocketAddr,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

use crate::{
    control::{Control, Metadata},
    raw_address::RawAddress,
};

/// How many datagrams, or runs of merged datagrams, one system call receives at most.
pub const BATCH: usize = 32;

/// A datagram that was received, or several merged ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived {
    pub(crate) from: SocketAddr,
    pub(crate) length: usize,
    pub(crate) metadata: Metadata,
}

/// The memory that the kernel writes to besides the contents.
pub(crate) struct Receiver {
    addresses: [RawAddress; BATCH],
    controls: [Control; BATCH],
    /// Valid during a call only; kept to reuse the memory.
    slices: Vec<libc::iovec>,
    messages: Vec<libc::mmsghdr>,
}

// SAFETY: the pointers in `slices` and `messages` are used during `receive` only, which has the receiver to itself and writes them anew.
unsafe impl Send for Receiver {}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

impl Receiver {
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self {
            addresses: [RawAddress::new(); BATCH],
            controls: std::array::from_fn(|_| Control::new()),
            slices: Vec::with_capacity(BATCH),
            messages: Vec::with_capacity(BATCH),
        })
    }

    /// Receives at most [`BATCH`] datagrams into `slots`, without blocking. Calls `each` with the index of each filled slot and its
    /// datagram, or `None` if the datagram has no sender's address.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when there is nothing; those of `recvmmsg`.
    pub(crate) fn receive<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        slots: impl Iterator<Item = &'a mut [u8]>,
        mut each: impl FnMut(usize, Option<Arrived>),
    ) -> io::Result<usize> {
        self.slices.clear();
        self.slices.extend(
            slots.take(BATCH).map(|slot| libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() }),
        );
        self.messages.clear();
        let parts = self.addresses.iter_mut().zip(&mut self.controls).zip(&mut self.slices);
        self.messages.extend(parts.map(|((address, control), slice)| {
            *address = RawAddress::new();
            let mut message = EMPTY;
            let header = &mut message.msg_hdr;
            header.msg_name = address.as_mut_ptr();
            header.msg_namelen = address.length();
            header.msg_iov = slice;
            header.msg_iovlen = 1;
            header.msg_controllen = Control::SPACE;
            header.msg_control = control.as_mut_ptr();
            message
        }));
        let length = libc::c_uint::try_from(self.messages.len()).map_err(io::Error::other)?;
        let received = loop {
            // SAFETY: each of the `length` messages points to an address, a control buffer and a slice of its own, with the lengths
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
            let arrived = self.addresses[index].read().map(|from| Arrived {
                from,
                length: usize::try_from(message.msg_len).unwrap_or_default(),
                metadata: self.controls[index].read(message.msg_hdr.msg_controllen),
            });
            each(index, arrived);
        }
        Ok(received)
    }
}

const EMPTY: libc::mmsghdr = libc::mmsghdr {
    // SAFETY: all zeros is a message header without an address, a content or a control message.
    msg_hdr: unsafe { std::mem::zeroed() },
    msg_len: 0,
};
