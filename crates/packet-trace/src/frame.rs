use crate::{LinkType, Unusable};

/// Where the IP header begins in `frame`.
pub(crate) fn ip_offset(link: LinkType, frame: &[u8]) -> Result<usize, Unusable> {
    match link {
        LinkType::ETHERNET => ethernet(frame),
        LinkType::LINUX_SLL => ether_type(frame, 14).and_then(|found| expect_ip(found, 16)),
        LinkType::LINUX_SLL2 => ether_type(frame, 0).and_then(|found| expect_ip(found, 20)),
        LinkType::NULL | LinkType::LOOP => loopback(frame),
        other if other.is_supported() => Ok(0),
        other => Err(Unusable::LinkType(other)),
    }
}

fn ethernet(frame: &[u8]) -> Result<usize, Unusable> {
    const VLAN_TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
    let mut at = 12;
    // At most two VLAN tags (IEEE 802.1ad).
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
    // The family is a small number, so the byte order that gives the smaller number is the right one.
    match value.min(value.swap_bytes()) {
        // AF_INET everywhere; AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, macOS.
        2 | 10 | 24 | 28 | 30 => Ok(4),
        other => Err(Unusable::NotIp { ether_type: u16::try_from(other).unwrap_or(u16::MAX) }),
    }
}
