//! Socket options that socket2 does not wrap.
#![expect(unsafe_code, reason = "setsockopt")]

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd},
};

use socket2::{Domain, SockRef, Socket, Type};

/// Lets the kernel and routers fragment the datagrams of `socket`, whose address is `address`.
pub(crate) fn allow_fragments(socket: &impl AsFd, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv4() {
        set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT)
    } else {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DONT)?;
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 0)
    }
}

/// Sets the DF bit of all datagrams that the IPv4 socket `socket` sends from now on, or clears it.
///
/// With the bit set, the kernel sends whatever fits the interface's MTU and ignores the path MTU that it has learned: path MTU discovery
/// is then up to the application.
pub(crate) fn forbid_fragments(socket: &impl AsFd, forbid: bool) -> io::Result<()> {
    let value = if forbid { libc::IP_PMTUDISC_PROBE } else { libc::IP_PMTUDISC_DONT };
    set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, value)
}

/// Whether the kernel can set the DF bit without path MTU discovery of its own (since Linux 2.6.22).
pub(crate) fn can_forbid_fragments() -> bool {
    match Socket::new(Domain::IPV4, Type::DGRAM, None) {
        Ok(socket) => forbid_fragments(&socket, true).is_ok(),
        // There is no IPv4 here, so nothing needs the bit.
        Err(_) => true,
    }
}

/// Asks the kernel to report the traffic class of each datagram that `socket` receives, and the count of dropped datagrams. If the socket
/// is bound to the unspecified `address`, also asks for the destination.
pub(crate) fn request_metadata(socket: &impl AsFd, address: SocketAddr) -> io::Result<()> {
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

/// Lets the kernel merge datagrams of one flow (GRO), if it can: Linux 5.0 and later.
pub(crate) fn merge_received(socket: &impl AsFd) {
    let _ = set(socket, libc::SOL_UDP, libc::UDP_GRO, 1);
}

/// Keeps errors about sent datagrams in the error queue of `socket`, whose address is `address`.
pub(crate) fn keep_errors(socket: &impl AsFd, address: SocketAddr) -> io::Result<()> {
    let (level, name) = match address {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_RECVERR),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
    };
    set(socket, level, name, 1)
}

/// Sets both buffers to `size` bytes. A process with CAP_NET_ADMIN may exceed the system's limits; for others the kernel clips `size`.
pub(crate) fn set_buffer_sizes(socket: &Socket, size: usize) -> io::Result<()> {
    let value = libc::c_int::try_from(size).map_err(io::Error::other)?;
    if set(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, value).is_err() {
        socket.set_recv_buffer_size(size)?;
    }
    if set(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, value).is_err() {
        socket.set_send_buffer_size(size)?;
    }
    Ok(())
}

/// The size of the receive buffer of `socket`. Linux reports twice the size, to count its bookkeeping; this is half of that.
pub(crate) fn receive_buffer_size(socket: &impl AsFd) -> io::Result<usize> {
    Ok(SockRef::from(socket).recv_buffer_size()? / 2)
}

/// Whether the kernel can split a message into datagrams (GSO): Linux 4.18 and later. An older kernel would ignore the control message
/// and send one long datagram.
pub(crate) fn can_segment() -> bool {
    let socket =
        [Domain::IPV4, Domain::IPV6].into_iter().find_map(|domain| Socket::new(domain, Type::DGRAM, None).ok());
    socket.is_some_and(|socket| set(&socket, libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok())
}

/// Sets an option whose value is an integer.
pub(crate) fn set(socket: &impl AsFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    set_raw(socket, level, name, &value)
}

/// Attaches a BPF program that selects among the sockets that share the address of `socket`.
pub(crate) fn attach_reuseport_program(socket: &impl AsFd, program: &mut [libc::sock_filter]) -> io::Result<()> {
    let filter = libc::sock_fprog {
        len: libc::c_ushort::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_mut_ptr(),
    };
    set_raw(socket, libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF, &filter)
}

/// Sets an option whose value is a structure. `T` must have the layout that the kernel expects for `name`.
fn set_raw<T>(socket: &impl AsFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open while `socket` is borrowed, and the kernel only reads: `length` bytes of `value`, and, where that is
    // a `sock_fprog`, the instructions that it points to, which the only caller that passes one borrows until after the call.
    let result =
        unsafe { libc::setsockopt(socket.as_fd().as_raw_fd(), level, name, (&raw const *value).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use test_support::capability::loopback;

    use super::*;

    #[test]
    fn both_families_take_them() {
        for address in loopback() {
            let socket = UdpSocket::bind(address).unwrap();
            let address = socket.local_addr().unwrap();
            allow_fragments(&socket, address).unwrap();
            request_metadata(&socket, address).unwrap();
            keep_errors(&socket, address).unwrap();
            merge_received(&socket);
        }
    }
}
