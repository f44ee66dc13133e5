//! Finds the IPv4 addresses that are embedded in IPv6 addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `address` itself, followed by the IPv4 addresses embedded in it. A translator or a tunnel may deliver a datagram to one of those.
///
/// - IPv4-mapped and IPv4-compatible, `::ffff:0:0/96` and `::/96`
///   ([RFC 4291, section 2.5.5](https://www.rfc-editor.org/rfc/rfc4291#section-2.5.5)), and IPv4-translated, `::ffff:0:0:0/96`
/// - NAT64, `64:ff9b::/96` ([RFC 6052](https://www.rfc-editor.org/rfc/rfc6052)) and `64:ff9b:1::/48`
///   ([RFC 8215](https://www.rfc-editor.org/rfc/rfc8215))
/// - 6to4, `2002::/16`, and Teredo, `2001::/32` (both the server's and the client's address)
/// - ISATAP, `::0:5efe:0:0` and `::200:5efe:0:0` below any /64 ([RFC 5214](https://www.rfc-editor.org/rfc/rfc5214))
pub(super) fn readings(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let embedded = match address {
        IpAddr::V4(_) => [None; 4],
        IpAddr::V6(v6) => embedded(v6),
    };
    [address].into_iter().chain(embedded.into_iter().flatten().map(IpAddr::V4))
}

fn embedded(address: Ipv6Addr) -> [Option<Ipv4Addr>; 4] {
    let octets = address.octets();
    let at = |offset: usize| Some(v4([octets[offset], octets[offset + 1], octets[offset + 2], octets[offset + 3]]));
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
            [at(12), None, None, None]
        }
        // `::` and `::1` are the unspecified and the loopback address.
        [0, 0, 0, 0, 0, 0, high, low] if (high, low) != (0, 0) && (high, low) != (0, 1) => [at(12), None, None, None],
        [0x64, 0xff9b, 1, ..] => local_nat64(octets),
        [0x2001, 0, ..] => {
            let client = [!octets[12], !octets[13], !octets[14], !octets[15]];
            [at(4), Some(v4(client)), None, None]
        }
        [0x2002, ..] => [at(2), None, None, None],
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => [at(12), None, None, None],
        _ => [None; 4],
    }
}

/// The IPv4 addresses in an address below the local-use prefix `64:ff9b:1::/48`. A network may divide it into translation
/// prefixes of several lengths. Every length that yields an address counts
/// ([RFC 6052, section 2.2](https://www.rfc-editor.org/rfc/rfc6052#section-2.2)).
fn local_nat64(octets: [u8; 16]) -> [Option<Ipv4Addr>; 4] {
    let [.., a6, a7, a8, a9, a10, a11, a12, a13, a14, a15] = octets;
    // Bits 64 to 71 and all bits after the IPv4 address must be zero.
    let if_zero = |rest: &[u8], address: [u8; 4]| {
        let is_one = rest.iter().all(|octet| *octet == 0) && address != [0; 4];
        is_one.then(|| v4(address))
    };
    [
        if_zero(&[a8, a11, a12, a13, a14, a15], [a6, a7, a9, a10]),
        if_zero(&[a8, a12, a13, a14, a15], [a7, a9, a10, a11]),
        if_zero(&[a8, a13, a14, a15], [a9, a10, a11, a12]),
        if_zero(&[], [a12, a13, a14, a15]),
    ]
}

const fn v4(octets: [u8; 4]) -> Ipv4Addr {
    Ipv4Addr::from_octets(octets)
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn of(text: &str) -> Vec<String> {
        readings(text.parse().unwrap()).skip(1).map(|address| address.to_string()).collect()
    }

    #[test]
    fn every_embedded_ipv4_address_is_found() {
        for (text, expected) in [
            ("::ffff:10.0.0.9", "10.0.0.9"),
            ("::10.0.0.9", "10.0.0.9"),
            ("::ffff:0:10.0.0.9", "10.0.0.9"),
            ("64:ff9b::10.0.0.9", "10.0.0.9"),
            // RFC 6052, section 2.4, with the local-use prefix instead of the example's.
            ("64:ff9b:1:c000:2:2100::", "192.0.2.33"),
            ("64:ff9b:1:1c0:0:221::", "192.0.2.33"),
            ("64:ff9b:1:1:c0:2:2100:0", "192.0.2.33"),
            ("64:ff9b:1:1::192.0.2.33", "192.0.2.33"),
            ("2002:a00:9::1", "10.0.0.9"),
            ("2001:db8::5efe:10.0.0.9", "10.0.0.9"),
            ("2001:db8::200:5efe:10.0.0.9", "10.0.0.9"),
        ] {
            assert!(of(text).contains(&expected.to_owned()), "{text}: {:?}", of(text));
        }
        // RFC 4380, section 4: the server's address, and the client's with all bits inverted.
        assert_eq!(of("2001:0:4136:e378:8000:63bf:3fff:fdd2"), ["65.54.227.120", "192.0.2.45"]);
    }

    #[test]
    fn others_stand_for_themselves_alone() {
        for text in ["10.0.0.9", "::", "::1", "2001:db8::a00:9", "fd00::5efe:1", "64:ff9a::a00:9", "2001:db8:0:0:1::"] {
            assert_eq!(of(text), [""; 0], "{text}");
        }
    }
}
