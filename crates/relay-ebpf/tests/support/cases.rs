//! Test vectors: arriving frames, and the expected results.

use std::net::{IpAddr, SocketAddr};

use relay_ebpf::{Config, Encapsulation, Flow, NextHop, Reason};

pub mod indications;

use Encapsulation::{Bare, Channel, Indication};

use super::{
    packet::{Checksum, Packet, channel_data},
    stun::{SendStyle, data_indication, send_indication},
};

/// The MTU of the interface on which frames arrive.
pub const MTU: u32 = 1500;

/// The program's configuration for all cases.
pub fn config() -> Config {
    Config { next_hop: NextHop::AnswerSender, max_flows: 64, packets_per_event: 1, ..Config::default() }
}

/// A frame and its expected result.
pub struct Case {
    pub name: String,
    pub flow: Flow,
    pub frame: Vec<u8>,
    pub expected: Expected,
}

pub enum Expected {
    /// It leaves like this. IPv4's identification (if `any_identification`), IPv6's flow label, and the transaction ID of a Data
    /// indication may differ.
    Forwarded { packet: Packet, any_identification: bool },
    /// It is passed unchanged.
    Passed(Reason),
}

/// A direction: the encapsulation on arrival and on leaving.
pub const DIRECTIONS: [(&str, Encapsulation, Encapsulation); 5] = [
    ("client to peer", Channel(0x4001), Bare),
    ("peer to client", Bare, Channel(0x7ffe)),
    ("client to client", Channel(0x4001), Channel(0x4fff)),
    ("client to peer by Send indications", Indication, Bare),
    ("peer to client by Data indications", Bare, Indication),
];

/// The transaction ID of Data indications in cases. The program draws another one.
pub const DRAWN: [u8; 12] = [0; 12];

/// Whether the arriving and the leaving packet are IPv4.
pub const FAMILIES: [(bool, bool); 4] = [(true, true), (true, false), (false, true), (false, false)];

fn ip(v4: bool, host: u8) -> IpAddr {
    if v4 { IpAddr::from([192, 0, 2, host]) } else { format!("2001:db8:5::{host:x}").parse().unwrap() }
}

pub fn flow(arrives_in: Encapsulation, leaves_in: Encapsulation, v4_in: bool, v4_out: bool) -> Flow {
    Flow {
        remote: SocketAddr::new(ip(v4_in, 1), 40001),
        local: SocketAddr::new(ip(v4_in, 9), if arrives_in == Bare { 50123 } else { 3478 }),
        arrives_in,
        source: SocketAddr::new(ip(v4_out, 10), if leaves_in == Bare { 61234 } else { 3478 }),
        destination: SocketAddr::new(ip(v4_out, 2), 5555),
        leaves_in,
    }
}

/// The arriving packet of `flow` with `data`.
pub fn arriving(flow: &Flow, data: &[u8]) -> Packet {
    let payload = match flow.arrives_in {
        Bare => data.to_vec(),
        Channel(number) => channel_data(number, data),
        Indication => send_indication(flow.destination, data, SendStyle::default()),
    };
    Packet::new(flow.remote, flow.local, payload)
}

/// The packet that leaves for `arrived`.
pub fn leaving(flow: &Flow, arrived: &Packet, data: &[u8]) -> Packet {
    let payload = match flow.leaves_in {
        Bare => data.to_vec(),
        Channel(number) => channel_data(number, data),
        Indication => data_indication(flow.remote, data, DRAWN),
    };
    let mut packet = Packet::new(flow.source, flow.destination, payload);
    packet.mac_destination = arrived.mac_source;
    packet.mac_source = arrived.mac_destination;
    packet.tag = arrived.tag;
    packet.hops = arrived.hops.wrapping_sub(1);
    packet.traffic_class = arrived.traffic_class;
    packet.checksum = arrived.checksum;
    packet.dont_fragment = if flow.remote.is_ipv4() { arrived.dont_fragment } else { packet.payload.len() + 28 > 1260 };
    packet
}

fn forwarded(name: String, flow: Flow, data: &[u8], change: impl Fn(&mut Packet)) -> Case {
    let mut packet = arriving(&flow, data);
    change(&mut packet);
    let leaves = leaving(&flow, &packet, data);
    let any_identification = leaves.destination.is_ipv4() && !leaves.dont_fragment;
    let expected = Expected::Forwarded { packet: leaves, any_identification };
    Case { name, flow, frame: packet.build(), expected }
}

/// A case that must be passed unchanged, made by spoiling a valid frame.
fn passed(name: &str, reason: Reason, flow: Flow, change: impl Fn(&mut Packet), spoil: impl Fn(&mut Vec<u8>)) -> Case {
    let mut packet = arriving(&flow, &[7; 100]);
    change(&mut packet);
    let mut frame = packet.build();
    spoil(&mut frame);
    Case { name: name.to_owned(), flow, frame, expected: Expected::Passed(reason) }
}

/// Recomputes the checksum of the IPv4 header at `ip`, if its 20 bytes are there.
pub fn repair(frame: &mut [u8], ip: usize) {
    let Some(header) = frame.get_mut(ip..ip + 20) else { return };
    header[10..12].fill(0);
    let sum: u32 = header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    header[10..12].copy_from_slice(&(!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes());
}

pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for (direction, arrives_in, leaves_in) in DIRECTIONS {
        for (v4_in, v4_out) in FAMILIES {
            good(&mut cases, direction, &flow(arrives_in, leaves_in, v4_in, v4_out));
        }
    }
    refused(&mut cases);
    indications::all(&mut cases);
    cases
}

/// All forwarded cases of one direction and pair of families.
fn good(cases: &mut Vec<Case>, direction: &str, flow: &Flow) {
    let family = |address: SocketAddr| if address.is_ipv4() { "v4" } else { "v6" };
    let name = |what: &str| format!("{direction}, {} to {}, {what}", family(flow.remote), family(flow.destination));
    for length in [0, 1, 2, 3, 4, 101, 200, 1232, 1233, 1399, 1400] {
        let data: Vec<u8> = (0..length).map(|index| (index * 7 + 3) as u8).collect();
        cases.push(forwarded(name(&format!("{length} bytes")), *flow, &data, |_| {}));
    }
    let data = [0xab; 33];
    cases.push(forwarded(name("all ones"), *flow, &[0xff; 64], |_| {}));
    cases.push(forwarded(name("DSCP and ECN"), *flow, &data, |packet| packet.traffic_class = 0xb9));
    cases.push(forwarded(name("the last hop but one"), *flow, &data, |packet| packet.hops = 2));
    cases.push(forwarded(name("many hops"), *flow, &data, |packet| packet.hops = 255));
    cases.push(forwarded(name("a VLAN tag"), *flow, &data, |packet| packet.tag = Some(0xb064)));
    cases.push(forwarded(name("a VLAN tag, 1000 bytes"), *flow, &[0x5c; 1000], |packet| packet.tag = Some(0x0fff)));
    cases.push(forwarded(name("may be fragmented"), *flow, &data, |packet| packet.dont_fragment = false));
    cases.push(forwarded(name("another identification and label"), *flow, &data, |packet| {
        packet.identification = 0xbeef;
        packet.flow_label = 0xabcde;
    }));
    cases.push(forwarded(name("a wrong checksum stays wrong"), *flow, &data, |packet| {
        packet.checksum = Checksum::Wrong(0x0410);
    }));
    if flow.remote.is_ipv4() && flow.destination.is_ipv4() {
        cases.push(forwarded(name("no checksum"), *flow, &data, |packet| packet.checksum = Checksum::Zero));
    }
    let mut padded = forwarded(name("a short frame padded by its sender"), *flow, b"x", |_| {});
    if padded.frame.len() < 60 {
        // Bytes after the IP packet must stay after it. Nothing else may change.
        let padding = 60 - padded.frame.len();
        padded.frame.extend(vec![0; padding]);
        padded.name.push_str(" (trailer kept)");
    }
    cases.push(padded);
}

fn refused(cases: &mut Vec<Case>) {
    use Reason::*;
    let none = |_: &mut Packet| {};
    let intact = |_: &mut Vec<u8>| {};
    let up = flow(Channel(0x4001), Bare, true, true);
    let down = flow(Bare, Channel(0x4001), true, true);
    let up6 = flow(Channel(0x4001), Bare, false, false);
    let down6 = flow(Bare, Channel(0x4001), false, false);
    let cross = flow(Bare, Channel(0x4001), true, false);
    let down64 = flow(Bare, Channel(0x4001), false, true);

    // Not for the relay.
    cases.push(passed("ARP", NotOurs, up, none, |f| f[13] = 0x06));
    cases.push(passed("IEEE 802.1ad double tagging", NotOurs, up, |p| p.tag = Some(5), |f| f[12] = 0x88));
    cases.push(passed(
        "two IEEE 802.1Q tags",
        NotOurs,
        up,
        |p| p.tag = Some(5),
        |f| {
            f.splice(12..12, [0x81, 0, 0, 7]);
        },
    ));
    cases.push(passed("TCP", NotOurs, up, none, |f| f[23] = 6));
    cases.push(passed("TCP over IPv6", NotOurs, up6, none, |f| f[20] = 6));
    cases.push(passed("IPv6 with a hop-by-hop header", NotOurs, up6, none, |f| f[20] = 0));
    cases.push(passed("an IPv6 fragment", NotOurs, up6, none, |f| f[20] = 44));
    cases.push(passed("IPv5 in IPv4's place", NotOurs, up, none, |f| f[14] = 0x55));
    cases.push(passed("IPv4 in IPv6's place", NotOurs, up6, none, |f| f[14] = 0x45));
    cases.push(passed("a port below the allocations'", NotOurs, down, |p| p.destination.set_port(49151), intact));
    cases.push(passed("a port next to the listening one", NotOurs, up, |p| p.destination.set_port(3479), intact));

    // For the relay's ports, but not application data.
    cases.push(passed("a STUN request", NotChannelData, up, |p| p.payload[..2].copy_from_slice(&[0, 1]), intact));
    cases.push(passed("beyond the channel numbers", NotChannelData, up, |p| p.payload[0] = 0x80, intact));
    cases.push(passed("an empty datagram", NotChannelData, up, |p| p.payload.clear(), intact));
    cases.push(passed("half a ChannelData header", NotChannelData, up, |p| p.payload.truncate(3), intact));
    cases.push(passed("a channel that is not bound", NoRoute, up, |p| p.payload[1] = 2, intact));
    cases.push(passed("a peer that has no channel", NoRoute, down, |p| p.source.set_port(53), intact));
    cases.push(passed("ChannelData to an allocation's port", NoRoute, down, |p| p.destination.set_port(50124), intact));
    let other = "192.0.2.77".parse().unwrap();
    cases.push(passed("another address of this host", OtherRoute, up, |p| p.destination.set_ip(other), intact));
    let other6 = "2001:db8:5::77".parse().unwrap();
    cases.push(passed(
        "another address of this host, IPv6",
        OtherRoute,
        down6,
        |p| p.destination.set_ip(other6),
        intact,
    ));

    // Malformed, or not possible with a rewrite.
    cases.push(passed("IPv4 options", Ipv4Options, up, none, |f| {
        f[14] = 0x46;
        f.splice(34..34, [1, 1, 1, 0]);
        f[17] += 4;
        repair(f, 14);
    }));
    cases.push(passed("an IPv4 header that is too short", Ipv4Options, up, none, |f| f[14] = 0x44));
    let flags =
        [("first fragment", 0x2000_u16), ("middle fragment", 0x2010), ("last fragment", 0x10), ("reserved", 0x8000)];
    for (name, offset) in flags {
        cases.push(passed(name, Fragment, up, none, move |f| {
            f[20..22].copy_from_slice(&offset.to_be_bytes());
            repair(f, 14);
        }));
    }
    cases.push(passed("a wrong IPv4 header checksum", HeaderChecksum, down, none, |f| f[24] ^= 1));
    cases.push(passed("IPv4 longer than UDP", LengthMismatch, up, none, |f| {
        f[17] += 1;
        repair(f, 14);
    }));
    cases.push(passed("IPv4 shorter than UDP", LengthMismatch, down, none, |f| {
        f[17] -= 1;
        repair(f, 14);
    }));
    cases.push(passed("UDP longer than IPv4", LengthMismatch, up, none, |f| f[39] += 1));
    cases.push(passed("UDP of length 0", LengthMismatch, down, none, |f| f[38..40].fill(0)));
    cases.push(passed("UDP of 7 bytes in an IP packet of 27", LengthMismatch, down, none, |f| {
        f[38..40].copy_from_slice(&[0, 7]);
        f[16..18].copy_from_slice(&[0, 27]);
        repair(f, 14);
    }));
    cases.push(passed("UDP longer than IPv6", LengthMismatch, up6, none, |f| f[59] += 1));
    cases.push(passed("an IPv6 jumbogram", LengthMismatch, up6, none, |f| f[18..20].fill(0)));
    cases.push(passed("ChannelData longer than UDP", LengthMismatch, up, |p| p.payload[3] += 1, intact));
    cases.push(passed("ChannelData with padding", LengthMismatch, up, |p| p.payload.extend([0; 3]), intact));
    cases.push(passed("ChannelData with padding, IPv6", LengthMismatch, up6, |p| p.payload.extend([0; 1]), intact));
    for hops in [0, 1] {
        cases.push(passed(&format!("time to live {hops}"), TimeToLive, up, |p| p.hops = hops, intact));
        cases.push(passed(&format!("hop limit {hops}"), TimeToLive, down6, |p| p.hops = hops, intact));
    }
    cases.push(passed("no checksum, to IPv6", NoChecksum, cross, |p| p.checksum = Checksum::Zero, intact));
    cases.push(passed("no checksum in IPv6", NoChecksum, up6, |p| p.checksum = Checksum::Zero, intact));
    cases.push(passed("no checksum in IPv6, to IPv4", NoChecksum, down64, |p| p.checksum = Checksum::Zero, intact));
    for (name, flow) in [("IPv4", up), ("IPv6", up6), ("IPv4 to IPv6", cross), ("IPv6 to IPv4", down64)] {
        let name = format!("a partial checksum, {name}");
        cases.push(passed(&name, PartialChecksum, flow, |p| p.checksum = Checksum::Partial, intact));
    }
    cases.push(passed("a broadcast frame", Multicast, up, |p| p.mac_destination = [0xff; 6], intact));
    let group = [0x33, 0x33, 0, 0, 0, 1];
    cases.push(passed("a multicast frame", Multicast, up6, move |p| p.mac_destination = group, intact));
    let full = |bytes: usize| move |p: &mut Packet| p.payload = vec![9; bytes];
    cases.push(passed("grows beyond the MTU", TooLarge, down, full(MTU as usize - 28 - 3), intact));
    cases.push(passed("grows beyond the MTU, IPv6", TooLarge, down6, full(MTU as usize - 48 - 3), intact));
    cases.push(passed("grows beyond the MTU by its family", TooLarge, cross, full(MTU as usize - 48 - 3), intact));

    // Frames cut off after every byte.
    for flow in [up, down, up6, down6] {
        let whole = arriving(&flow, &[1, 2, 3, 4, 5]).build();
        let headers = if flow.remote.is_ipv4() { 14 + 20 + 8 } else { 14 + 40 + 8 };
        for length in 14..whole.len() {
            let reason = if length < headers { NotOurs } else { Truncated };
            let name = format!("{} bytes of {}", length, whole.len());
            cases.push(Case { name, flow, frame: whole[..length].to_vec(), expected: Expected::Passed(reason) });
        }
    }
}
