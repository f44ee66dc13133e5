use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::{Checksum, Datagram, LinkType, UdpPacket, Unusable, frame::ip_offset};

pub(crate) const UDP: u8 = 17;
const UDP_HEADER: usize = 8;
/// Hop limit of the headers that are synthesised for a recording: the default of Linux.
const HOP_LIMIT: u8 = 64;

/// Finds the UDP datagram in a frame.
pub(crate) fn parse(link: LinkType, frame: &[u8]) -> Result<UdpPacket<'_>, Unusable> {
    let ip_offset = ip_offset(link, frame)?;
    let ip = frame.get(ip_offset..).unwrap_or_default();
    let header = header(ip, UDP)?;

    // Ethernet's padding may follow the IP packet in the frame.
    let segment = ip.get(header.payload_at..).unwrap_or_default();
    let segment = &segment[..segment.len().min(header.payload_len)];
    let Some(udp) = segment.first_chunk::<UDP_HEADER>() else {
        return Err(if header.payload_len < UDP_HEADER { Unusable::BadHeader("UDP") } else { Unusable::CutOff });
    };
    let length = usize::from(u16::from_be_bytes([udp[4], udp[5]]));
    if length < UDP_HEADER || length > header.payload_len {
        return Err(Unusable::BadHeader("UDP"));
    }
    let datagram = &segment[..segment.len().min(length)];
    let stored = u16::from_be_bytes([udp[6], udp[7]]);
    let checksum = if datagram.len() < length {
        Checksum::Unknown
    } else if stored == 0 {
        if header.source.is_ipv4() { Checksum::Absent } else { Checksum::Wrong }
    } else if fold(pseudo_header(header.source, header.destination, length) + sum(datagram)) == 0xffff {
        Checksum::Right
    } else {
        Checksum::Wrong
    };

    Ok(UdpPacket {
        source: SocketAddr::new(header.source, u16::from_be_bytes([udp[0], udp[1]])),
        destination: SocketAddr::new(header.destination, u16::from_be_bytes([udp[2], udp[3]])),
        payload: &datagram[UDP_HEADER..],
        payload_len: length - UDP_HEADER,
        payload_at: ip_offset + header.payload_at + UDP_HEADER,
        checksum,
    })
}

pub(crate) struct IpHeader {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// The offset of what the packet carries from the beginning of the IP header, in bytes.
    pub(crate) payload_at: usize,
    /// How long that is in bytes, captured or not.
    payload_len: usize,
}

/// Reads the IP header at the beginning of `ip`, of a packet that carries `protocol`.
pub(crate) fn header(ip: &[u8], protocol: u8) -> Result<IpHeader, Unusable> {
    match ip.first().map(|byte| byte >> 4) {
        None => Err(Unusable::CutOff),
        Some(4) => ipv4(ip, protocol),
        Some(6) => ipv6(ip, protocol),
        Some(_) => Err(Unusable::BadHeader("IP")),
    }
}

fn ipv4(ip: &[u8], protocol: u8) -> Result<IpHeader, Unusable> {
    let Some(fixed) = ip.first_chunk::<20>() else { return Err(Unusable::CutOff) };
    let header_len = usize::from(fixed[0] & 0x0f) * 4;
    // Segmentation offload leaves a length of zero. Then the length of the frame gives that of the packet.
    let total_len = match usize::from(u16::from_be_bytes([fixed[2], fixed[3]])) {
        0 => ip.len(),
        total_len => total_len,
    };
    if header_len < 20 || total_len < header_len {
        return Err(Unusable::BadHeader("IPv4"));
    }
    let fragment = u16::from_be_bytes([fixed[6], fixed[7]]);
    if fragment & 0x3fff != 0 {
        return Err(Unusable::Fragment { offset: (fragment & 0x1fff).saturating_mul(8) });
    }
    if fixed[9] != protocol {
        return Err(Unusable::NotUdp { protocol: fixed[9] });
    }
    let address = |at: usize| IpAddr::from(Ipv4Addr::new(fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]));
    Ok(IpHeader {
        source: address(12),
        destination: address(16),
        payload_at: header_len,
        payload_len: total_len - header_len,
    })
}

fn ipv6(ip: &[u8], protocol: u8) -> Result<IpHeader, Unusable> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const AUTHENTICATION: u8 = 51;
    const DESTINATION: u8 = 60;
    const MOBILITY: u8 = 135;

    let Some(fixed) = ip.first_chunk::<40>() else { return Err(Unusable::CutOff) };
    let end = match usize::from(u16::from_be_bytes([fixed[4], fixed[5]])) {
        0 => ip.len(),
        payload_len => 40 + payload_len,
    };
    let mut next = fixed[6];
    let mut at = 40;
    while next != protocol {
        let extension = ip.get(at..).and_then(<[u8]>::first_chunk::<8>);
        let len = match next {
            HOP_BY_HOP | ROUTING | DESTINATION | MOBILITY => {
                (usize::from(extension.ok_or(Unusable::CutOff)?[1]) + 1) * 8
            }
            AUTHENTICATION => (usize::from(extension.ok_or(Unusable::CutOff)?[1]) + 2) * 4,
            FRAGMENT => {
                let extension = extension.ok_or(Unusable::CutOff)?;
                let fragment = u16::from_be_bytes([extension[2], extension[3]]);
                // An atomic fragment, with offset zero and no more fragments, is a whole packet (RFC 6946).
                if fragment & 0xfff9 != 0 {
                    return Err(Unusable::Fragment { offset: fragment & 0xfff8 });
                }
                8
            }
            protocol => return Err(Unusable::NotUdp { protocol }),
        };
        next = extension.ok_or(Unusable::CutOff)?[0];
        at += len;
        if at > end {
            return Err(Unusable::BadHeader("IPv6"));
        }
    }
    let address = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&fixed[at..at + 16]);
        IpAddr::from(Ipv6Addr::from(octets))
    };
    Ok(IpHeader {
        source: address(8),
        destination: address(24),
        payload_at: at,
        payload_len: end.checked_sub(at).ok_or(Unusable::BadHeader("IPv6"))?,
    })
}

/// Appends IP and UDP headers for `datagram` to `out`. The caller appends the payload.
///
/// The checksum covers the whole payload, even if the caller cuts it.
/// Appends nothing and returns `false` for a datagram that cannot exist: with addresses of two families, or too long for UDP.
pub(crate) fn build_headers(datagram: Datagram<'_>, out: &mut Vec<u8>) -> bool {
    let Datagram { source, destination, payload } = datagram;
    let (Ok(udp_len), Ok(total_len)) =
        (u16::try_from(payload.len() + UDP_HEADER), u16::try_from(payload.len() + UDP_HEADER + 20))
    else {
        return false;
    };
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let at = out.len();
            out.extend_from_slice(&[0x45, 0]);
            out.extend_from_slice(&total_len.to_be_bytes());
            // Identification zero with "don't fragment" set: RFC 6864 permits it for packets that are never fragmented.
            out.extend_from_slice(&[0, 0, 0x40, 0, HOP_LIMIT, UDP, 0, 0]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
            let checksum = !fold(sum(&out[at..]));
            out[at + 10..at + 12].copy_from_slice(&checksum.to_be_bytes());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            out.extend_from_slice(&[0x60, 0, 0, 0]);
            out.extend_from_slice(&udp_len.to_be_bytes());
            out.extend_from_slice(&[UDP, HOP_LIMIT]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
        }
        _ => return false,
    }
    let at = out.len();
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
    out.extend_from_slice(&udp_len.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    let total = pseudo_header(source.ip(), destination.ip(), usize::from(udp_len)) + sum(&out[at..]) + sum(payload);
    // Zero means "no checksum", so a sum of zero is sent as all ones (RFC 768).
    let checksum = match !fold(total) {
        0 => 0xffff,
        checksum => checksum,
    };
    out[at + 6..at + 8].copy_from_slice(&checksum.to_be_bytes());
    true
}

fn pseudo_header(source: IpAddr, destination: IpAddr, length: usize) -> u64 {
    let address = |address: IpAddr| match address {
        IpAddr::V4(v4) => sum(&v4.octets()),
        IpAddr::V6(v6) => sum(&v6.octets()),
    };
    // Lossless: a length is at most 65,535, and no platform has pointers wider than 64 bits.
    address(source) + address(destination) + length as u64 + u64::from(UDP)
}

/// The sum of big-endian words, to be folded to a ones' complement sum. An odd last byte is the high byte of a word.
fn sum(bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(2);
    let whole: u64 = words.by_ref().map(|word| u64::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    whole + words.remainder().first().map_or(0, |&byte| u64::from(byte) << 8)
}

#[expect(clippy::cast_possible_truncation, reason = "folded until nothing is above 16 bits")]
fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests;
