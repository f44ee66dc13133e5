//! Ports that nobody uses.

use std::{
    net::{SocketAddr, TcpListener, UdpSocket},
    ops::RangeInclusive,
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::capability::has_ipv6;

/// A UDP port that nobody uses on either loopback address.
///
/// It lies below those that the system hands out by itself, so that it stays free, and differs for every caller in this process and
/// in most others.
#[must_use]
pub fn free_port() -> u16 {
    loop {
        let port = next_ports(1);
        let is_free = |address: &str| UdpSocket::bind((address, port)).is_ok();
        if is_free("127.0.0.1") && (is_free("::1") || !has_ipv6()) {
            return port;
        }
    }
}

/// This many UDP ports in a row that nobody uses on IPv4 loopback, and that go to no other caller, as with [`free_port`].
#[must_use]
pub fn free_range(count: u16) -> RangeInclusive<u16> {
    loop {
        let lowest = next_ports(count);
        let range = lowest..=lowest + count - 1;
        let sockets: Result<Vec<_>, _> = range.clone().map(|port| UdpSocket::bind(("127.0.0.1", port))).collect();
        if sockets.is_ok() {
            return range;
        }
    }
}

/// An address on IPv4 loopback at which nobody listens over TCP, nor UDP.
#[must_use]
pub fn free_tcp_address() -> SocketAddr {
    loop {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// The lowest of this many ports in a row that no other caller is given.
fn next_ports(count: u16) -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = process::id().wrapping_mul(97).wrapping_add(NEXT.fetch_add(count.into(), Ordering::Relaxed));
    u16::try_from(10_000 + number % 20_000).unwrap()
}
