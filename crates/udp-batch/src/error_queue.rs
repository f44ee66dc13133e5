//! The error queue of a socket: errors about datagrams that were sent and did not arrive (`IP_RECVERR`, `ip(7)`).
#![expect(unsafe_code, reason = "recvmsg")]

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsRawFd as _, BorrowedFd},
    ptr,
};

use crate::{
    control::{Control, ExtendedError},
    raw_address::RawAddress,
};

/// `SO_EE_ORIGIN_*`: where an error comes from.
const ORIGIN_LOCAL: u8 = 1;
const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMP6: u8 = 3;

/// How many errors are read at a time. The kernel reports what is left with the next one.
const MOST_AT_A_TIME: usize = 1_024;

/// An error about a datagram that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendError {
    /// The destination of the datagram. The port is 0 if the kernel does not know it.
    pub to: SocketAddr,
    /// Who reported the error.
    pub origin: ErrorOrigin,
    /// The kernel's error number, such as `EMSGSIZE`.
    pub errno: i32,
    /// The MTU where the datagram was too large; otherwise the second word of the ICMP header, in host byte order.
    pub info: u32,
}

/// Who reported a [`SendError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorOrigin {
    /// This machine, for example because the datagram is larger than the interface's MTU.
    Local,
    /// A router or the destination, by an ICMP message (ICMPv6 if the destination is an IPv6 address).
    Icmp {
        /// The type of the ICMP message.
        icmp_type: u8,
        /// Its code.
        code: u8,
    },
}

/// Whether a call on a socket with an error queue may have failed with `error` because of an earlier datagram, possibly to another
/// destination. The kernel fails one call for each queued error, so the same call may succeed when it is repeated.
pub(crate) fn may_be_about_another(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::ENOPROTOOPT
                | libc::EOPNOTSUPP
                | libc::EPROTO
                | libc::EACCES
                | libc::EMSGSIZE
        )
    )
}

/// Like [`may_be_about_another`], for sending with the DF bit. `EMSGSIZE` is then about the datagram itself: sending it again would
/// report that twice.
pub(crate) fn may_be_about_another_unfragmented(error: &io::Error) -> bool {
    may_be_about_another(error) && error.raw_os_error() != Some(libc::EMSGSIZE)
}

/// Takes the errors from the queue of `socket`, in order.
pub(crate) fn take(socket: BorrowedFd<'_>, mut each: impl FnMut(SendError)) {
    for _ in 0..MOST_AT_A_TIME {
        match receive(socket) {
            Ok(Some(error)) => each(error),
            Ok(None) => {}
            Err(_) => return,
        }
    }
}

/// The next entry of the queue, if it is an error about a datagram.
fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<SendError>> {
    let (mut address, mut control) = (RawAddress::new(), Control::new());
    // SAFETY: all zeros is a message header without an address, a content or a control message.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = address.as_mut_ptr();
    header.msg_namelen = address.length();
    // No buffer for the content: the queue would return the beginning of the datagram.
    header.msg_iov = ptr::null_mut();
    header.msg_control = control.as_mut_ptr();
    header.msg_controllen = Control::SPACE;
    // SAFETY: the header points to an address and a control buffer that outlive the call, with the lengths that these have, and nothing
    // else uses them meanwhile. The socket is open while it is borrowed.
    let result = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let error = address.read().zip(control.extended_error(header.msg_controllen));
    Ok(error.and_then(|(to, error)| send_error(to, error)))
}

fn send_error(to: SocketAddr, error: ExtendedError) -> Option<SendError> {
    let ExtendedError { errno, origin, kind, code, info } = error;
    let origin = match origin {
        ORIGIN_LOCAL => ErrorOrigin::Local,
        ORIGIN_ICMP | ORIGIN_ICMP6 => ErrorOrigin::Icmp { icmp_type: kind, code },
        // Time stamps and completed zero-copy sends, neither of which is an error.
        _ => return None,
    };
    Some(SendError { to, origin, errno, info })
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, os::fd::AsFd as _};

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use test_support::capability::loopback;

    use super::*;
    use crate::options;

    #[test]
    fn a_closed_port_is_reported() {
        for loopback in loopback() {
            let socket = UdpSocket::bind(loopback).unwrap();
            options::keep_errors(&socket, socket.local_addr().unwrap()).unwrap();
            let closed = UdpSocket::bind(loopback).unwrap().local_addr().unwrap();
            socket.send_to(b"data", closed).unwrap();
            let mut waits = [PollFd::new(socket.as_fd(), PollFlags::empty())];
            assert_eq!(poll(&mut waits, PollTimeout::from(30_000_u16)).unwrap(), 1, "the error");
            let mut errors = Vec::new();
            take(socket.as_fd(), |error| errors.push(error));
            // "Port unreachable" of each family.
            let (icmp_type, code) = if closed.is_ipv4() { (3, 3) } else { (1, 4) };
            let origin = ErrorOrigin::Icmp { icmp_type, code };
            assert_eq!(errors, [SendError { to: closed, origin, errno: libc::ECONNREFUSED, info: 0 }]);
        }
    }

    #[test]
    fn what_is_no_error_is_left_out() {
        let to = "192.0.2.1:9".parse().unwrap();
        let local = ExtendedError { errno: libc::EMSGSIZE, origin: ORIGIN_LOCAL, kind: 0, code: 0, info: 1_400 };
        let expected = SendError { to, origin: ErrorOrigin::Local, errno: libc::EMSGSIZE, info: 1_400 };
        assert_eq!(send_error(to, local), Some(expected));
        // SO_EE_ORIGIN_TIMESTAMPING.
        assert_eq!(send_error(to, ExtendedError { origin: 4, ..local }), None);
    }
}
