//! Socket addresses as the kernel reads and writes them: `struct sockaddr_in` and `struct sockaddr_in6`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

const V4_LENGTH: usize = size_of::<libc::sockaddr_in>();
const V6_LENGTH: usize = size_of::<libc::sockaddr_in6>();
const AF_INET: u16 = family(libc::AF_INET);
const AF_INET6: u16 = family(libc::AF_INET6);

#[expect(clippy::cast_possible_truncation, reason = "all families fit")]
const fn family(family: libc::c_int) -> u16 {
    family as u16
}

/// A socket address of either family.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(crate) struct RawAddress {
    bytes: [u8; V6_LENGTH],
    length: usize,
}

impl RawAddress {
    /// Room for an address that the kernel writes.
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; V6_LENGTH], length: V6_LENGTH }
    }

    /// A pointer to [`Self::length`] bytes.
    #[inline]
    pub(crate) const fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        self.bytes.as_mut_ptr().cast()
    }

    /// The length of the address, or of the room for one.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "28 at most")]
    pub(crate) const fn length(&self) -> libc::socklen_t {
        self.length as libc::socklen_t
    }

    #[inline]
    pub(crate) fn write(&mut self, address: SocketAddr) {
        self.bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        match address {
            SocketAddr::V4(address) => {
                self.bytes[..2].copy_from_slice(&AF_INET.to_ne_bytes());
                self.bytes[4..8].copy_from_slice(&address.ip().octets());
                self.bytes[8..V4_LENGTH].fill(0);
                self.length = V4_LENGTH;
            }
            SocketAddr::V6(address) => {
                self.bytes[..2].copy_from_slice(&AF_INET6.to_ne_bytes());
                self.bytes[4..8].copy_from_slice(&address.flowinfo().to_ne_bytes());
                self.bytes[8..24].copy_from_slice(&address.ip().octets());
                self.bytes[24..28].copy_from_slice(&address.scope_id().to_ne_bytes());
                self.length = V6_LENGTH;
            }
        }
    }

    /// The address that the kernel has written; `None` if it has not written one.
    #[inline]
    pub(crate) fn read(&self) -> Option<SocketAddr> {
        let [f0, f1, p0, p1, rest @ ..] = &self.bytes;
        let port = u16::from_be_bytes([*p0, *p1]);
        match u16::from_ne_bytes([*f0, *f1]) {
            AF_INET => Some((Ipv4Addr::from(*rest.first_chunk::<4>()?), port).into()),
            AF_INET6 => {
                let ip = Ipv6Addr::from(*rest.get(4..)?.first_chunk::<16>()?);
                // Sending to a link-local address needs its scope. The flow label is up to the sender, and dropped.
                let scope = u32::from_ne_bytes(*rest.get(20..)?.first_chunk()?);
                Some(SocketAddrV6::new(ip, port, 0, scope).into())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let mut raw = RawAddress::new();
        for text in ["[2001:db8::1]:3478", "192.0.2.1:65535", "[fe80::1%3]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            raw.write(address);
            assert_eq!(raw.read(), Some(address));
        }
        assert_eq!(RawAddress::new().read(), None);
    }
}
