//! Generates random flows, and random frames for them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use relay_ebpf::{Config, Encapsulation, Flow};

use super::{
    Random, cases,
    packet::{Checksum, Packet, channel_data},
    stun::{SendStyle, send_indication},
};

/// The offset of the IP header in `frame`.
fn ip_header(frame: &[u8]) -> usize {
    if frame[12..14] == [0x81, 0] { 18 } else { 14 }
}

/// The identification of an IPv4 packet.
pub fn identification(frame: &[u8]) -> u16 {
    let at = ip_header(frame) + 4;
    frame.get(at..at + 2).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// Removes the flow label from a forwarded IPv6 packet. Returns it, together with the addresses and ports that it belongs to.
pub fn take_flow_label(frame: &mut [u8]) -> Option<(Vec<u8>, [u8; 3])> {
    let ip = ip_header(frame);
    if frame[ip] >> 4 != 6 {
        return None;
    }
    let label = [frame[ip + 1] & 0x0f, frame[ip + 2], frame[ip + 3]];
    frame[ip + 1] &= 0xf0;
    frame[ip + 2..ip + 4].fill(0);
    Some((frame[ip + 8..ip + 44].to_vec(), label))
}

fn random_ip(random: &mut Random, v4: bool) -> IpAddr {
    if v4 {
        Ipv4Addr::from(0x0a00_0000 | (random.next() as u32 & 0x00ff_ffff)).into()
    } else {
        Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(random.next())).into()
    }
}

pub fn random_flow(random: &mut Random, config: &Config) -> Flow {
    let (v4_in, v4_out) = random.pick(&cases::FAMILIES);
    let (_, arrives_in, leaves_in) = random.pick(&cases::DIRECTIONS);
    let number = |random: &mut Random| 0x4000 | (random.next() as u16 & 0x3fff);
    let mut renumber = |encapsulation| match encapsulation {
        Encapsulation::Channel(_) => Encapsulation::Channel(number(random)),
        other => other,
    };
    let (arrives_in, leaves_in) = (renumber(arrives_in), renumber(leaves_in));
    let range = usize::from(config.allocation_ports.end() - config.allocation_ports.start());
    let own_port = |random: &mut Random, encapsulation: Encapsulation| loop {
        let port = config.allocation_ports.start() + random.below(range) as u16;
        match encapsulation {
            Encapsulation::Bare if port != config.listen_port => return port,
            Encapsulation::Bare => {}
            _ => return config.listen_port,
        }
    };
    let port = |random: &mut Random| 1 + random.below(65535) as u16;
    Flow {
        remote: SocketAddr::new(random_ip(random, v4_in), port(random)),
        local: SocketAddr::new(random_ip(random, v4_in), own_port(random, arrives_in)),
        arrives_in,
        source: SocketAddr::new(random_ip(random, v4_out), own_port(random, leaves_in)),
        destination: SocketAddr::new(random_ip(random, v4_out), port(random)),
        leaves_in,
    }
}

/// A Send indication, mostly of the usual shape.
fn random_send(random: &mut Random, peer: SocketAddr, data: &[u8]) -> Vec<u8> {
    let mut transaction = [0; 12];
    transaction.fill_with(|| random.next() as u8);
    let style = SendStyle { transaction, padding: random.next() as u8, fingerprint: random.one_in(2) };
    let mut peer = peer;
    match random.below(40) {
        0 => peer.set_port(random.next() as u16),
        1 => peer.set_ip(random_ip(random, peer.is_ipv4())),
        2 => peer.set_ip(random_ip(random, !peer.is_ipv4())),
        _ => {}
    }
    let mut message = send_indication(peer, data, style);
    if random.one_in(10) {
        // Any bit but those of the data.
        let header = if peer.is_ipv4() { 36 } else { 48 };
        let at = random.below(header);
        message[at] ^= 1 << random.below(8);
    }
    if random.one_in(20) {
        message.extend([0x80, 0x28, 0, 4, 1, 2, 3, 4]);
        let length = u16::from_be_bytes([message[2], message[3]]).wrapping_add(8);
        message[2..4].copy_from_slice(&length.to_be_bytes());
    }
    message
}

/// The random part of the transaction ID, if `frame` is a Data indication; otherwise 0.
pub fn drawn(frame: &[u8]) -> u32 {
    transaction(frame).map_or(0, |[a, b, c, d, ..]| u32::from_ne_bytes([a, b, c, d]))
}

/// The transaction ID, if `frame` is a Data indication.
pub fn transaction(frame: &[u8]) -> Option<[u8; 12]> {
    let ip = ip_header(frame);
    let stun = ip + if frame.get(ip)? >> 4 == 4 { 28 } else { 48 };
    if frame.get(stun..stun + 2)? != [0, 0x17] {
        return None;
    }
    frame.get(stun + 8..stun + 20)?.try_into().ok()
}

/// A frame of `flow`, mostly valid, and sometimes spoilt in one of many ways.
pub fn random_frame(random: &mut Random, flow: &Flow) -> Vec<u8> {
    let length = match random.below(20) {
        0 => 0,
        1..3 => 1400 + random.below(110),
        _ => random.below(300),
    };
    let data: Vec<u8> = match random.below(8) {
        0 => vec![0xff; length],
        1 => vec![0; length],
        _ => (0..length).map(|_| random.next() as u8).collect(),
    };
    let payload = match flow.arrives_in {
        Encapsulation::Bare => data,
        Encapsulation::Channel(number) => channel_data(number, &data),
        Encapsulation::Indication => random_send(random, flow.destination, &data),
    };
    let mut packet = Packet::new(flow.remote, flow.local, payload);
    packet.hops = if random.one_in(20) { random.below(4) as u8 } else { random.next() as u8 };
    packet.traffic_class = random.next() as u8;
    packet.dont_fragment = random.one_in(2);
    packet.identification = random.next() as u16;
    packet.flow_label = random.next() as u32 & 0xf_ffff;
    if random.one_in(4) {
        packet.tag = Some(random.next() as u16);
    }
    packet.checksum = match random.below(12) {
        0 => Checksum::Zero,
        1 => Checksum::Partial,
        2 => Checksum::Wrong(random.next() as u16),
        _ => Checksum::Full,
    };
    match random.below(40) {
        0 => packet.source.set_port(random.next() as u16),
        1 => packet.destination.set_port(random.next() as u16),
        2 => packet.destination.set_ip(random_ip(random, flow.local.is_ipv4())),
        3 if packet.payload.len() > 3 => packet.payload[random.below(4)] ^= 1 << random.below(8),
        4 => packet.payload.extend(vec![0; 1 + random.below(4)]),
        5 => packet.payload.truncate(random.below(8)),
        6 => packet.mac_destination[0] |= 1,
        _ => {}
    }
    let mut frame = packet.build();
    let ip = if packet.tag.is_some() { 18 } else { 14 };
    match random.below(24) {
        0 => frame.truncate(14 + random.below(frame.len() - 13)),
        1 => frame.extend(vec![random.next() as u8; random.below(40)]),
        // Any bit of the headers.
        2..5 => {
            let at = 12 + random.below((ip + 52).min(frame.len()) - 12);
            frame[at] ^= 1 << random.below(8);
        }
        // A fragment, options, or a wrong length in the IPv4 header, with a correct header checksum.
        5..7 if flow.remote.is_ipv4() => {
            match random.below(3) {
                0 => frame[ip + 6] |= 0x20,
                1 => frame[ip] = 0x46,
                _ => frame[ip + 3] = frame[ip + 3].wrapping_add(1 + random.below(4) as u8),
            }
            cases::repair(&mut frame, ip);
        }
        // A wrong length in the UDP header.
        7 => {
            let udp = ip + if flow.remote.is_ipv4() { 20 } else { 40 };
            frame[udp + 5] = frame[udp + 5].wrapping_add(1 + random.below(4) as u8);
        }
        _ => {}
    }
    frame
}
