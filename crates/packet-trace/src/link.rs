use std::fmt;

use crate::ip::Unusable;

/// What precedes the IP header in a frame, as the capture formats number it.
///
/// The values are those of <https://www.tcpdump.org/linktypes.html>.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: a 4-byte address family in the byte order of the capturing machine.
    pub const NULL: Self = Self(0);
    /// Ethernet.
    pub const ETHERNET: Self = Self(1);
    /// Nothing: the frame begins with an IP header of either version.
    pub const RAW: Self = Self(101);
    /// OpenBSD loopback: a 4-byte address family in network byte order.
    pub const LOOP: Self = Self(108);
    /// Linux "cooked" capture, version 1 (`tcpdump -i any`).
    pub const LINUX_SLL: Self = Self(113);
    /// Nothing: IPv4.
    pub const IPV4: Self = Self(228);
    /// Nothing: IPv6.
    pub const IPV6: Self = Self(229);
    /// Linux "cooked" capture, version 2.
    pub const LINUX_SLL2: Self = Self(276);
    /// `DLT_RAW` on most systems and on OpenBSD, which old files hold in place of [`Self::RAW`].
    const DLT_RAW: [Self; 2] = [Self(12), Self(14)];

    /// Whether frames of this type can be read.
    #[must_use]
    pub fn is_supported(self) -> bool {
        matches!(
            self,
            Self::NULL
                | Self::ETHERNET
                | Self::RAW
                | Self::LOOP
                | Self::LINUX_SLL
                | Self::IPV4
                | Self::IPV6
                | Self::LINUX_SLL2
        ) || Self::DLT_RAW.contains(&self)
    }

    /// Where the IP header begins in `frame`.
    pub(crate) fn ip_offset(self, frame: &[u8]) -> Result<usize, Unusable> {
        match self {
            Self::ETHERNET => ethernet(frame),
            Self::LINUX_SLL => ether_type(frame, 14).and_then(|found| expect_ip(found, 16)),
            Self::LINUX_SLL2 => ether_type(frame, 0).and_then(|found| expect_ip(found, 20)),
            Self::NULL | Self::LOOP => loopback(frame),
            other if other.is_supported() => Ok(0),
            other => Err(Unusable::LinkType(other)),
        }
    }
}

fn ethernet(frame: &[u8]) -> Result<usize, Unusable> {
    const VLAN_TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
    let mut at = 12;
    // At most two tags (IEEE 802.1ad): more is not a network that a relay sees.
    for _ in 0..2 {
        if !VLAN_TAGS.contains(&ether_type(frame, at)?) {
            break;
        }
        at += 4;
    }
    expect_ip(ether_type(frame, at)?, at + 2)
}

fn ether_type(frame: &[u8], at: usize) -> Result<u16, Unusable> {
    match frame.get(at..at + 2) {
        Some(&[high, low]) => Ok(u16::from_be_bytes([high, low])),
        _ => Err(Unusable::CutOff),
    }
}

fn expect_ip(ether_type: u16, offset: usize) -> Result<usize, Unusable> {
    match ether_type {
        0x0800 | 0x86dd => Ok(offset),
        other => Err(Unusable::NotIp { ether_type: other }),
    }
}

fn loopback(frame: &[u8]) -> Result<usize, Unusable> {
    let Some(&[a, b, c, d]) = frame.first_chunk::<4>() else { return Err(Unusable::CutOff) };
    let value = u32::from_be_bytes([a, b, c, d]);
    // The family is a small number, so whichever reading is small has the right byte order.
    match value.min(value.swap_bytes()) {
        // AF_INET everywhere; AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, macOS.
        2 | 10 | 24 | 28 | 30 => Ok(4),
        other => Err(Unusable::NotIp { ether_type: u16::try_from(other).unwrap_or(u16::MAX) }),
    }
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            0 => "BSD loopback",
            1 => "Ethernet",
            12 | 14 | 101 => "raw IP",
            105 => "IEEE 802.11",
            108 => "OpenBSD loopback",
            113 => "Linux cooked",
            127 => "IEEE 802.11 radiotap",
            189 | 220 => "USB",
            201 => "Bluetooth",
            228 => "raw IPv4",
            229 => "raw IPv6",
            249 => "USBPcap",
            276 => "Linux cooked v2",
            _ => return write!(f, "link type {}", self.0),
        };
        write!(f, "{name} (link type {})", self.0)
    }
}
