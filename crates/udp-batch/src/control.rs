//! Control messages: metadata that the kernel reports with a received datagram, and options of a datagram to send
//! (`cmsg(3)`, `ip(7)`, `ipv6(7)`, `udp(7)`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Room for all control messages that one datagram may have.
const SPACE: usize = 160;
/// The length of `struct cmsghdr`: length, level, type.
const HEADER: usize = align(size_of::<libc::cmsghdr>());
const LEVEL_AT: usize = size_of::<usize>();

/// Rounds up to where the next control message may start.
const fn align(length: usize) -> usize {
    length.next_multiple_of(size_of::<usize>())
}

/// The control messages of one datagram, as the kernel reads and writes them.
#[derive(Clone, Debug)]
#[repr(C, align(8))]
pub(crate) struct Control {
    bytes: [u8; SPACE],
    used: usize,
}

/// The metadata of a received datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// The destination address, if the socket asks for it.
    pub(crate) to: Option<IpAddr>,
    /// DSCP and ECN.
    pub(crate) traffic_class: u8,
    /// The size of each datagram, if several were merged; the last one may be shorter.
    pub(crate) segment: Option<usize>,
    /// How many datagrams the kernel had dropped at this socket when this one arrived, if any; wraps.
    pub(crate) drops: Option<u32>,
}

/// `struct sock_extended_err`: an error about a datagram that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExtendedError {
    pub(crate) errno: i32,
    pub(crate) origin: u8,
    pub(crate) kind: u8,
    pub(crate) code: u8,
    pub(crate) info: u32,
}

impl Control {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; SPACE], used: 0 }
    }

    /// A pointer to [`Self::SPACE`] bytes.
    #[inline]
    pub(crate) const fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        self.bytes.as_mut_ptr().cast()
    }

    /// How many bytes the kernel may write.
    pub(crate) const SPACE: usize = SPACE;

    /// How many bytes the kernel is to read.
    #[inline]
    pub(crate) const fn used(&self) -> usize {
        self.used
    }

    #[inline]
    pub(crate) const fn clear(&mut self) {
        self.used = 0;
    }

    /// Reads the first `length` bytes, which the kernel wrote.
    #[inline]
    pub(crate) fn read(&self, length: usize) -> Metadata {
        let mut metadata = Metadata::default();
        let mut rest = &self.bytes[..length.min(SPACE)];
        while let Some((level, kind, data, next)) = split(rest) {
            match (level, kind) {
                (libc::IPPROTO_IP, libc::IP_TOS) => metadata.traffic_class = data.first().copied().unwrap_or_default(),
                (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                    metadata.traffic_class = int(data).and_then(|class| class.try_into().ok()).unwrap_or_default();
                }
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    // struct in_pktinfo: interface, local address, destination address.
                    metadata.to = array::<4>(data, 8).map(|octets| Ipv4Addr::from(octets).into());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    metadata.to = array::<16>(data, 0).map(|octets| Ipv6Addr::from(octets).into());
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => metadata.drops = array(data, 0).map(u32::from_ne_bytes),
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    metadata.segment = int(data).and_then(|size| size.try_into().ok()).filter(|size| *size > 0);
                }
                _ => {}
            }
            rest = next;
        }
        metadata
    }

    /// Reads the error in the first `length` bytes, which the kernel wrote.
    pub(crate) fn extended_error(&self, length: usize) -> Option<ExtendedError> {
        let mut rest = &self.bytes[..length.min(SPACE)];
        while let Some((level, kind, data, next)) = split(rest) {
            if matches!((level, kind), (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR))
            {
                let [origin, kind, code, _] = array(data, 4)?;
                let errno = i32::from_ne_bytes(array(data, 0)?);
                return Some(ExtendedError { errno, origin, kind, code, info: u32::from_ne_bytes(array(data, 8)?) });
            }
            rest = next;
        }
        None
    }

    /// Sends with this DSCP and ECN; `is_ipv4` says whether the destination is an IPv4 address.
    #[inline]
    pub(crate) fn push_traffic_class(&mut self, is_ipv4: bool, class: u8) {
        let (level, kind) =
            if is_ipv4 { (libc::IPPROTO_IP, libc::IP_TOS) } else { (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) };
        self.push(level, kind, &libc::c_int::from(class).to_ne_bytes());
    }

    /// Sends from this address.
    #[inline]
    pub(crate) fn push_source(&mut self, source: IpAddr) {
        match source {
            IpAddr::V4(source) => {
                let mut data = [0; size_of::<libc::in_pktinfo>()];
                data[4..8].copy_from_slice(&source.octets());
                self.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &data);
            }
            IpAddr::V6(source) => {
                let mut data = [0; size_of::<libc::in6_pktinfo>()];
                data[..16].copy_from_slice(&source.octets());
                self.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &data);
            }
        }
    }

    /// Cuts the content into datagrams of `size` bytes; the last one may be shorter.
    #[inline]
    pub(crate) fn push_segment(&mut self, size: u16) {
        self.push(libc::SOL_UDP, libc::UDP_SEGMENT, &size.to_ne_bytes());
    }

    #[inline]
    fn push(&mut self, level: libc::c_int, kind: libc::c_int, data: &[u8]) {
        let length = HEADER + data.len();
        let end = self.used + align(length);
        let Some(place) = self.bytes.get_mut(self.used..end) else { return };
        place.fill(0);
        place[..LEVEL_AT].copy_from_slice(&length.to_ne_bytes());
        place[LEVEL_AT..LEVEL_AT + 4].copy_from_slice(&level.to_ne_bytes());
        place[LEVEL_AT + 4..LEVEL_AT + 8].copy_from_slice(&kind.to_ne_bytes());
        place[HEADER..length].copy_from_slice(data);
        self.used = end;
    }
}

/// Splits the first control message off `bytes`: its level, type and data, and the bytes after it.
#[inline]
fn split(bytes: &[u8]) -> Option<(libc::c_int, libc::c_int, &[u8], &[u8])> {
    let length = usize::from_ne_bytes(array(bytes, 0)?);
    let level = libc::c_int::from_ne_bytes(array(bytes, LEVEL_AT)?);
    let kind = libc::c_int::from_ne_bytes(array(bytes, LEVEL_AT + 4)?);
    let data = bytes.get(HEADER..length)?;
    let next = bytes.get(align(length)..).unwrap_or_default();
    Some((level, kind, data, next))
}

#[inline]
fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[inline]
fn int(data: &[u8]) -> Option<libc::c_int> {
    array(data, 0).map(libc::c_int::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let mut control = Control::new();
        control.push_traffic_class(true, 0xB9);
        control.push_segment(1200);
        assert_eq!(control.used() % size_of::<usize>(), 0);
        let metadata = control.read(control.used());
        // UDP_SEGMENT is only sent, never received.
        assert_eq!(metadata, Metadata { traffic_class: 0xB9, ..Metadata::default() });

        control.clear();
        control.push_traffic_class(false, 0x02);
        control.push_source("2001:db8::1".parse().unwrap());
        let metadata = control.read(control.used());
        assert_eq!((metadata.traffic_class, metadata.to), (0x02, Some("2001:db8::1".parse().unwrap())));
    }

    #[test]
    fn an_error_is_read_beside_other_messages() {
        let mut control = Control::new();
        control.push_traffic_class(true, 1);
        assert_eq!(control.extended_error(control.used()), None);
        let data = [&libc::EMSGSIZE.to_ne_bytes()[..], &[2, 3, 4, 0], &1_280_u32.to_ne_bytes(), &[0; 20]].concat();
        control.push(libc::IPPROTO_IP, libc::IP_RECVERR, &data);
        let expected = ExtendedError { errno: libc::EMSGSIZE, origin: 2, kind: 3, code: 4, info: 1_280 };
        assert_eq!(control.extended_error(control.used()), Some(expected));
        assert_eq!(control.extended_error(control.used() - 30), None, "cut off");
    }

    #[test]
    fn all_that_may_be_pushed_fits() {
        let mut control = Control::new();
        control.push_traffic_class(false, 1);
        control.push_source("::1".parse().unwrap());
        let before = control.used();
        control.push_segment(1);
        assert!(control.used() > before);
    }

    #[test]
    fn nonsense_is_ignored() {
        let mut control = Control::new();
        assert_eq!(control.read(SPACE), Metadata::default());
        control.bytes.fill(0xFF);
        assert_eq!(control.read(SPACE), Metadata::default());
        assert_eq!(control.read(usize::MAX), Metadata::default());
    }
}
