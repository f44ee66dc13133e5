//! ICMP errors about UDP datagrams.

use std::net::SocketAddr;

use crate::{
    LinkType,
    frame::ip_offset,
    ip::{self, UDP},
};

const ICMP_V4: u8 = 1;
const ICMP_V6: u8 = 58;
/// Type, code, checksum and 4 bytes that depend on the type.
const HEADER: usize = 8;

/// An ICMP error about a UDP datagram, which it quotes
/// ([RFC 792](https://www.rfc-editor.org/rfc/rfc792), [RFC 4443](https://www.rfc-editor.org/rfc/rfc4443)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// The type: of ICMPv6 if [`Self::source`] is an IPv6 address, else of ICMP.
    pub icmp_type: u8,
    /// The code.
    pub code: u8,
    /// The sender of the datagram.
    pub source: SocketAddr,
    /// The destination of the datagram.
    pub destination: SocketAddr,
}

/// The ICMP error in a frame, if it is one.
pub(crate) fn error(link: LinkType, frame: &[u8]) -> Option<IcmpError> {
    let packet = frame.get(ip_offset(link, frame).ok()?..)?;
    let is_v6 = packet.first()? >> 4 == 6;
    let header = ip::header(packet, if is_v6 { ICMP_V6 } else { ICMP_V4 }).ok()?;
    let message = packet.get(header.payload_at..)?;
    let &[icmp_type, code, ..] = message.first_chunk::<HEADER>()?;
    // Unreachable, (too big,) time exceeded.
    let is_error = if is_v6 { matches!(icmp_type, 1..=3) } else { matches!(icmp_type, 3 | 11) };
    let quoted = message.get(HEADER..).filter(|_| is_error)?;
    let datagram = ip::header(quoted, UDP).ok()?;
    let &[s0, s1, d0, d1] = quoted.get(datagram.payload_at..)?.first_chunk()?;
    Some(IcmpError {
        icmp_type,
        code,
        source: SocketAddr::new(datagram.source, u16::from_be_bytes([s0, s1])),
        destination: SocketAddr::new(datagram.destination, u16::from_be_bytes([d0, d1])),
    })
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::{Datagram, ip::build_headers};

    const CLIENT: [&str; 2] = ["192.0.2.10:50000", "[2001:db8::10]:50000"];
    const SERVER: [&str; 2] = ["203.0.113.1:3478", "[2001:db8::1]:3478"];

    /// A raw IP packet that says with this type and code that a datagram from client to server did not arrive.
    fn message(family: usize, icmp_type: u8, code: u8) -> Vec<u8> {
        let (client, server) = (CLIENT[family].parse().unwrap(), SERVER[family].parse().unwrap());
        let mut quoted = vec![icmp_type, code, 0, 0, 0, 0, 0, 0];
        assert!(build_headers(Datagram { source: client, destination: server, payload: b"data" }, &mut quoted));
        // A UDP header, which is as long as that of ICMP, becomes one.
        let mut packet = Vec::new();
        assert!(build_headers(Datagram { source: server, destination: client, payload: &quoted[8..] }, &mut packet));
        let at = packet.len() - HEADER;
        packet.truncate(at);
        packet[if family == 0 { 9 } else { 6 }] = if family == 0 { ICMP_V4 } else { ICMP_V6 };
        [packet, quoted].concat()
    }

    #[test]
    fn an_error_names_the_datagram_in_both_families() {
        for (family, icmp_type, code) in [(0, 3, 3), (0, 11, 0), (1, 1, 4), (1, 3, 0)] {
            let (source, destination) = (CLIENT[family].parse().unwrap(), SERVER[family].parse().unwrap());
            let expected = IcmpError { icmp_type, code, source, destination };
            assert_eq!(error(LinkType::RAW, &message(family, icmp_type, code)), Some(expected));
        }
    }

    #[test]
    fn what_is_no_error_or_is_cut_short_names_none() {
        for (family, icmp_type) in [(0, 8), (0, 0), (1, 128), (1, 135)] {
            assert_eq!(error(LinkType::RAW, &message(family, icmp_type, 0)), None);
        }
        for family in [0, 1] {
            let whole = message(family, 3, 3);
            // The quoted ports are the last 4 bytes that are needed.
            for length in 0..whole.len() - 4 {
                assert_eq!(error(LinkType::RAW, &whole[..length]), None, "{length} bytes");
            }
        }
    }
}
