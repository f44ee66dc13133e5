//! Socket options that no safe wrapper has.
#![expect(unsafe_code, reason = "setsockopt")]

use std::{
    io,
    net::UdpSocket,
    os::fd::{AsFd, AsRawFd},
};

/// Lets datagrams be fragmented as they leave, which quinn-udp forbids and which a relay, that cannot see the DF bit of what it
/// receives, must allow ([RFC 8656, section 14](https://www.rfc-editor.org/rfc/rfc8656#section-14)).
pub(super) fn allow_fragments(socket: &UdpSocket) -> io::Result<()> {
    if socket.local_addr()?.is_ipv4() {
        set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT)
    } else {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DONT)?;
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 0)
    }
}

/// Stops the kernel from noting when each packet came, which quinn-udp asks for and nobody here reads.
pub(super) fn no_timestamps(socket: &UdpSocket) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 0)
}

fn set(socket: &impl AsFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
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
            allow_fragments(&socket).unwrap();
            no_timestamps(&socket).unwrap();
        }
    }
}
