//! What the kernel says of datagrams that did not arrive: ICMP errors, and datagrams too large for the interface (`IP_RECVERR`).
#![expect(unsafe_code, reason = "recvmsg")]

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
    ptr,
};

use relay_server::Icmp;

use super::{
    control::{Control, ExtendedError},
    name::Name,
    options,
};

/// `SO_EE_ORIGIN_*`: where an error comes from.
const ORIGIN_LOCAL: u8 = 1;
const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMP6: u8 = 3;

/// How many errors are read at a time. The kernel tells of what is left with the next one.
const MOST_AT_A_TIME: usize = 1_024;

/// An error about a datagram that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SendError {
    /// Where it was sent to; the port is zero if the kernel does not know it.
    pub(crate) to: SocketAddr,
    pub(crate) icmp: Icmp,
}

/// Has the kernel keep errors about what `socket`, which is bound to `address`, sends. From then on it also lets calls fail for which
/// there is no other reason: see [`may_be_about_another`].
pub(super) fn keep(socket: &impl AsFd, address: SocketAddr) -> io::Result<()> {
    let (level, name) = match address {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_RECVERR),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
    };
    options::set(socket, level, name, 1)
}

/// Whether a call at a socket whose errors are kept may have failed for an ICMP error about an earlier datagram, which may have gone
/// to somebody else. The kernel reports each one once in this way, too, so the same call again may succeed.
pub(super) fn may_be_about_another(error: &io::Error) -> bool {
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

/// The same of a datagram with the DF bit, which may itself be too large. To try it again would tell its client twice.
pub(super) fn may_be_about_another_unfragmented(error: &io::Error) -> bool {
    may_be_about_another(error) && error.raw_os_error() != Some(libc::EMSGSIZE)
}

/// Takes the errors that the kernel keeps for `socket` and tells `each`.
pub(super) fn take(socket: BorrowedFd<'_>, mut each: impl FnMut(SendError)) {
    for _ in 0..MOST_AT_A_TIME {
        match receive(socket) {
            Ok(Some(error)) => each(error),
            Ok(None) => {}
            Err(_) => return,
        }
    }
}

/// The next error, if it is one that concerns clients.
fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<SendError>> {
    let (mut name, mut control) = (Name::new(), Control::new());
    // SAFETY: all zeros is a message header without a name, a content or a control message.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = name.as_mut_ptr();
    header.msg_namelen = name.length();
    // The beginning of the datagram is not wanted.
    header.msg_iov = ptr::null_mut();
    header.msg_control = control.as_mut_ptr();
    header.msg_controllen = control.space();
    // SAFETY: the header points to a name and a control buffer that outlive the call, with the lengths that these have, and nothing
    // else uses them meanwhile. The socket is open while it is borrowed.
    let result = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let error = name.read().zip(control.extended_error(header.msg_controllen));
    Ok(error.and_then(|(to, error)| Some(SendError { to, icmp: icmp(to, error)? })))
}

/// The ICMP error that `error` is, or that a router would have sent: to the client it is the same whether the first link was too narrow
/// or a later one.
fn icmp(to: SocketAddr, error: ExtendedError) -> Option<Icmp> {
    let ExtendedError { errno, origin, kind, code, info } = error;
    match origin {
        ORIGIN_ICMP | ORIGIN_ICMP6 => Some(Icmp { icmp_type: kind, code, error_data: info }),
        ORIGIN_LOCAL if errno == libc::EMSGSIZE => {
            let (icmp_type, code) = if to.is_ipv4() { (3, 4) } else { (2, 0) };
            Some(Icmp { icmp_type, code, error_data: info })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    /// The error about a datagram to a port where nobody is.
    fn error_of_a_closed_port(loopback: &str) -> Option<SendError> {
        let socket = UdpSocket::bind((loopback, 0)).ok()?;
        keep(&socket, socket.local_addr().unwrap()).unwrap();
        let closed = UdpSocket::bind((loopback, 0)).unwrap().local_addr().unwrap();
        socket.send_to(b"data", closed).unwrap();
        let mut waits = [PollFd::new(socket.as_fd(), PollFlags::empty())];
        assert_eq!(poll(&mut waits, PollTimeout::from(30_000_u16)).unwrap(), 1, "the error");
        let mut errors = Vec::new();
        take(socket.as_fd(), |error| errors.push(error));
        assert_eq!(errors[0].to, closed);
        errors.pop()
    }

    #[test]
    fn a_closed_port_is_told_of() {
        assert_eq!(error_of_a_closed_port("127.0.0.1").unwrap().icmp, Icmp { icmp_type: 3, code: 3, error_data: 0 });
        // A machine may lack IPv6.
        if let Some(error) = error_of_a_closed_port("::1") {
            assert_eq!(error.icmp, Icmp { icmp_type: 1, code: 4, error_data: 0 });
        }
    }

    #[test]
    fn a_datagram_too_large_for_the_interface_is_as_if_a_router_had_refused_it() {
        let to = |text: &str| text.parse().unwrap();
        let local = ExtendedError { errno: libc::EMSGSIZE, origin: ORIGIN_LOCAL, kind: 0, code: 0, info: 1_400 };
        let expected = Icmp { icmp_type: 3, code: 4, error_data: 1_400 };
        assert_eq!(icmp(to("192.0.2.1:0"), local), Some(expected));
        let expected = Icmp { icmp_type: 2, code: 0, error_data: 1_400 };
        assert_eq!(icmp(to("[2001:db8::1]:0"), local), Some(expected));
        assert_eq!(icmp(to("192.0.2.1:0"), ExtendedError { errno: libc::ENOMEM, ..local }), None);
        assert_eq!(icmp(to("192.0.2.1:0"), ExtendedError { origin: 4, ..local }), None);
    }
}
