#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

fn round_trip(source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
    let datagram = Datagram { source: source.parse().unwrap(), destination: destination.parse().unwrap(), payload };
    let mut frame = Vec::new();
    assert!(build_headers(datagram, &mut frame));
    frame.extend_from_slice(payload);
    let udp = parse(LinkType::RAW, &frame).unwrap();
    assert_eq!((udp.source, udp.destination, udp.payload), (datagram.source, datagram.destination, payload));
    assert_eq!((udp.payload_len, udp.checksum), (payload.len(), Checksum::Right));
    frame
}

/// An IPv6 packet with `extensions` (kind and bytes, whose first byte is overwritten by the next kind) before UDP.
fn ipv6_with(extensions: &[(u8, &[u8])]) -> Vec<u8> {
    let plain = round_trip("[2001:db8::1]:1", "[2001:db8::2]:2", b"data");
    let mut frame = plain[..40].to_vec();
    let mut next_at = 6;
    for (kind, bytes) in extensions {
        frame[next_at] = *kind;
        next_at = frame.len();
        frame.extend_from_slice(bytes);
    }
    frame[next_at] = UDP;
    frame.extend_from_slice(&plain[40..]);
    let length = u16::try_from(frame.len() - 40).unwrap();
    frame[4..6].copy_from_slice(&length.to_be_bytes());
    frame
}

#[test]
fn what_is_built_is_parsed() {
    for payload in [&b""[..], b"1", b"12", b"odd", &[0xff; 1473]] {
        round_trip("192.0.2.1:5000", "203.0.113.1:3478", payload);
        round_trip("[2001:db8::1]:5000", "[2001:db8::2]:3478", payload);
    }
}

#[test]
fn a_checksum_that_comes_out_as_zero_is_sent_as_ones() {
    // The payload is chosen so that the sum over the whole datagram is all ones.
    let plain = round_trip("192.0.2.1:1", "192.0.2.2:2", &[0, 0]);
    let checksum = [plain[26], plain[27]];
    let frame = round_trip("192.0.2.1:1", "192.0.2.2:2", &checksum);
    assert_eq!(frame[26..28], [0xff, 0xff]);
}

#[test]
fn two_families_and_oversized_payloads_are_refused() {
    let (v4, v6) = ("192.0.2.1:1".parse().unwrap(), "[2001:db8::1]:1".parse().unwrap());
    let mut out = Vec::new();
    assert!(!build_headers(Datagram { source: v4, destination: v6, payload: b"" }, &mut out));
    assert!(!build_headers(Datagram { source: v4, destination: v4, payload: &[0; 65_508] }, &mut out));
    assert!(out.is_empty());
    assert!(build_headers(Datagram { source: v4, destination: v4, payload: &[0; 65_507] }, &mut out));
}

#[test]
fn a_flipped_bit_is_a_wrong_checksum_and_a_cut_payload_an_unknown_one() {
    let mut frame = round_trip("192.0.2.1:1", "192.0.2.2:2", b"payload");
    frame[30] ^= 1;
    assert_eq!(parse(LinkType::RAW, &frame).unwrap().checksum, Checksum::Wrong);
    frame.pop();
    let udp = parse(LinkType::RAW, &frame).unwrap();
    assert_eq!((udp.checksum, udp.payload.len(), udp.payload_len), (Checksum::Unknown, 6, 7));
    frame[26..28].copy_from_slice(&[0, 0]);
    frame.push(0);
    assert_eq!(parse(LinkType::RAW, &frame).unwrap().checksum, Checksum::Absent);
}

#[test]
fn every_cut_is_a_mark_or_a_shorter_payload() {
    let frame = round_trip("[2001:db8::1]:1", "[2001:db8::2]:2", b"payload");
    for len in 0..48 {
        assert_eq!(parse(LinkType::RAW, &frame[..len]), Err(Unusable::CutOff), "{len}");
    }
    for len in 48..frame.len() {
        assert_eq!(parse(LinkType::RAW, &frame[..len]).unwrap().payload.len(), len - 48);
    }
}

#[test]
fn ipv4_fragments_are_marked_first_or_later() {
    let mut frame = round_trip("192.0.2.1:1", "192.0.2.2:2", b"payload");
    frame[6] = 0x20;
    assert_eq!(parse(LinkType::RAW, &frame), Err(Unusable::Fragment { offset: 0 }));
    frame[6..8].copy_from_slice(&[0x20, 185]);
    assert_eq!(parse(LinkType::RAW, &frame), Err(Unusable::Fragment { offset: 1480 }));
}

#[test]
fn ipv6_extension_headers_are_skipped() {
    let options = [0, 0, 1, 4, 0, 0, 0, 0];
    let long = [[0, 1, 1, 4, 0, 0, 0, 0], [0; 8]].concat();
    let atomic_fragment = [0, 0, 0, 0, 1, 2, 3, 4];
    let authentication = [[0, 4, 0, 0, 0, 0, 0, 1], [0; 8], [0; 8]].concat();
    let frame = ipv6_with(&[(0, &options), (60, &long), (43, &options), (44, &atomic_fragment), (51, &authentication)]);
    let udp = parse(LinkType::RAW, &frame).unwrap();
    assert_eq!((udp.payload, udp.payload_at), (&b"data"[..], frame.len() - 4));
    assert_eq!(udp.checksum, Checksum::Right);
}

#[test]
fn ipv6_fragments_and_other_protocols_are_marked() {
    let fragment = [0, 0, 0x05, 0xa9, 0, 0, 0, 1];
    assert_eq!(parse(LinkType::RAW, &ipv6_with(&[(44, &fragment)])), Err(Unusable::Fragment { offset: 0x5a8 }));
    let mut tcp = ipv6_with(&[]);
    tcp[6] = 6;
    assert_eq!(parse(LinkType::RAW, &tcp), Err(Unusable::NotUdp { protocol: 6 }));
    let endless = [0, 255, 0, 0, 0, 0, 0, 0];
    assert_eq!(parse(LinkType::RAW, &ipv6_with(&[(0, &endless)])), Err(Unusable::BadHeader("IPv6")));
}

#[test]
fn lengths_that_contradict_each_other_are_marked() {
    let frame = round_trip("192.0.2.1:1", "192.0.2.2:2", b"payload");
    let with = |at: usize, value: u8| {
        let mut frame = frame.clone();
        frame[at] = value;
        parse(LinkType::RAW, &frame).map(|_| ())
    };
    assert_eq!(with(0, 0x44), Err(Unusable::BadHeader("IPv4")));
    assert_eq!(with(3, 19), Err(Unusable::BadHeader("IPv4")));
    assert_eq!(with(3, 27), Err(Unusable::BadHeader("UDP")));
    assert_eq!(with(25, 7), Err(Unusable::BadHeader("UDP")));
    assert_eq!(with(25, 200), Err(Unusable::BadHeader("UDP")));
    assert_eq!(with(0, 0x55), Err(Unusable::BadHeader("IP")));
    assert_eq!(with(9, 1), Err(Unusable::NotUdp { protocol: 1 }));
}

#[test]
fn each_link_layer_is_stepped_over() {
    let ip = round_trip("192.0.2.1:1", "192.0.2.2:2", b"payload");
    let mac = [0x02; 12];
    let framed = |header: &[u8]| [header, &ip, &[0; 3]].concat();
    let ethernet = |tags: &[u8]| framed(&[&mac[..], tags, &[0x08, 0x00]].concat());
    let mut sll = [0; 16];
    sll[14] = 0x08;
    let mut sll2 = [0; 20];
    sll2[0] = 0x08;
    for (link, frame, header_len) in [
        (LinkType::ETHERNET, ethernet(&[]), 14),
        (LinkType::ETHERNET, ethernet(&[0x81, 0, 0, 5]), 18),
        (LinkType::ETHERNET, ethernet(&[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6]), 22),
        (LinkType::LINUX_SLL, framed(&sll), 16),
        (LinkType::LINUX_SLL2, framed(&sll2), 20),
        (LinkType::NULL, framed(&[2, 0, 0, 0]), 4),
        (LinkType::NULL, framed(&[0, 0, 0, 2]), 4),
        (LinkType::LOOP, framed(&[0, 0, 0, 2]), 4),
        (LinkType::IPV4, framed(&[]), 0),
        (LinkType(12), framed(&[]), 0),
    ] {
        let udp = parse(link, &frame).unwrap();
        assert_eq!((udp.payload, udp.payload_at), (&b"payload"[..], header_len + 28), "{link}");
    }
    assert_eq!(parse(LinkType(105), &ip), Err(Unusable::LinkType(LinkType(105))));
    let arp = [&mac[..], &[0x08, 0x06], &[0; 28]].concat();
    assert_eq!(parse(LinkType::ETHERNET, &arp), Err(Unusable::NotIp { ether_type: 0x0806 }));
    assert_eq!(parse(LinkType::ETHERNET, &mac), Err(Unusable::CutOff));
}
