//! Socket options that no safe wrapper has.
#![expect(unsafe_code, reason = "setsockopt")]

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    os::fd::{AsFd, AsRawFd},
};

use socket2::{Domain, Socket, Type};

/// Lets datagrams of `socket`, which is bound to `address`, be fragmented as they leave: a relay, that cannot see the DF bit of what
/// it receives, must allow it ([RFC 8656, section 14](https://www.rfc-editor.org/rfc/rfc8656#section-14)).
pub(super) fn allow_fragments(socket: &UdpSocket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv4() {
        set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT)
    } else {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DONT)?;
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 0)
    }
}

/// Has what `socket`, which is of IPv4, sends from now on leave in one piece, with the DF bit set; or again as [`allow_fragments`] says.
/// The kernel then sends what fits the interface's MTU, whatever it has heard of the path's: that is for whoever asked to find out.
pub(super) fn forbid_fragments(socket: &impl AsFd, forbid: bool) -> io::Result<()> {
    let value = if forbid { libc::IP_PMTUDISC_PROBE } else { libc::IP_PMTUDISC_DONT };
    set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, value)
}

/// Whether the kernel knows how to: since Linux 2.6.22.
pub(super) fn can_forbid_fragments() -> bool {
    match Socket::new(Domain::IPV4, Type::DGRAM, None) {
        Ok(socket) => forbid_fragments(&socket, true).is_ok(),
        // Without IPv4, nobody is sent anything over it.
        Err(_) => true,
    }
}

/// Has the kernel tell the traffic class of each datagram that `socket`, which is bound to `address`, receives, the address it was
/// sent to if that is not known anyhow, and how many were dropped before it, if any.
pub(super) fn tell_everything(socket: &UdpSocket, address: SocketAddr) -> io::Result<()> {
    let (level, class, destination) = if address.is_ipv4() {
        (libc::IPPROTO_IP, libc::IP_RECVTOS, libc::IP_PKTINFO)
    } else {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, libc::IPV6_RECVPKTINFO)
    };
    set(socket, level, class, 1)?;
    if address.ip().is_unspecified() {
        set(socket, level, destination, 1)?;
    }
    set(socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)
}

/// Lets the kernel glue the datagrams of one flow together (GRO) if it can.
pub(super) fn glue(socket: &UdpSocket) {
    // Before Linux 5.0 there is no such thing.
    let _ = set(socket, libc::SOL_UDP, libc::UDP_GRO, 1);
}

/// Whether the kernel knows how to cut what is sent into datagrams (GSO): since Linux 4.18. An older one would ignore being asked
/// to, and send everything as one.
pub(super) fn can_segment() -> bool {
    let socket =
        [Domain::IPV4, Domain::IPV6].into_iter().find_map(|domain| Socket::new(domain, Type::DGRAM, None).ok());
    socket.is_some_and(|socket| set(&socket, libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok())
}

/// Sets an option that is an integer.
pub(super) fn set(socket: &impl AsFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of_val(&value)).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open for as long as `socket` is borrowed, and the pointer is to `length` bytes of `value`,
    // which the kernel only reads.
    let result =
        unsafe { libc::setsockopt(socket.as_fd().as_raw_fd(), level, name, (&raw const value).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn both_families_take_them() {
        for socket in [UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)), UdpSocket::bind((Ipv6Addr::LOCALHOST, 0))] {
            // A machine may lack IPv6.
            let Ok(socket) = socket else { continue };
            let address = socket.local_addr().unwrap();
            allow_fragments(&socket, address).unwrap();
            tell_everything(&socket, address).unwrap();
            glue(&socket);
        }
    }
}
