use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use packet_trace::{Checksum, LinkType, Packet, UdpPacket};
use relay_ebpf::{Encapsulation, Flow, FlowKey, Forwarded, Host, Leaving, Link, Reason, Route, Settings, SliceFrame};

use stun_msg::{DataHeader, SendIndication, TransactionId};

use crate::input::Input;

const LISTEN_PORT: u16 = 3478;
const RELAYED_PORT: u16 = 50_000;
const CHANNEL: u16 = 0x4000;
const RELAY_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const RELAY_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const CLIENT_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 5);
const PEER_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const PEER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9);
const CLIENT_PORT: u16 = 40_000;
const PEER_PORT: u16 = 9_000;
const INDICATED_PORT: u16 = 9_100;

/// Any frame is left as it is, or is forwarded: then another parser finds the same data in it, on the flow's way, with a checksum that is as
/// right as the one that came.
pub fn rewrite(input: &[u8]) {
    let mut input = Input(input);
    let choice = input.byte();
    let (needs_header_checksum, has_headroom, small_mtu) = (choice & 1 != 0, choice & 2 == 0, choice & 4 != 0);
    let has_tailroom = choice & 8 == 0;
    let mut frame = input.0.to_vec();
    if needs_header_checksum {
        set_header_checksum(&mut frame);
    }

    let mut memory = vec![0xee; if has_headroom { 96 } else { 0 }];
    let headroom = memory.len();
    memory.extend(&frame);
    let tailroom = if has_tailroom { 3 } else { 0 };
    memory.resize(memory.len() + tailroom, 0xee);
    let mut slice = SliceFrame::with_tailroom(&mut memory, headroom, tailroom).expect("the frame starts inside");
    let mut world = World { flows: flows(), mtu: if small_mtu { 576 } else { 1500 } };
    let mut forwarded = Forwarded::default();
    match relay_ebpf::rewrite(&mut slice, &mut world, &mut forwarded) {
        Reason::Forwarded => check(&world.flows, &frame, slice.bytes(), forwarded),
        Reason::Aborted => panic!("nothing may fail after the verdict"),
        _ => assert_eq!(slice.bytes(), frame, "a frame that is passed is untouched"),
    }
}

fn check(flows: &[Flow], before: &[u8], after: &[u8], forwarded: Forwarded) {
    let (before, after) = (udp(before), udp(after));
    let ways = (before.source, before.destination, after.source, after.destination);
    let flow = flows.iter().find(|flow| (flow.remote, flow.local, flow.source, flow.destination) == ways);
    let flow = flow.expect("forwarded by a flow of these addresses");

    let data = match flow.arrives_in {
        Encapsulation::Bare => before.payload,
        Encapsulation::Channel(channel) => strip(channel, before.payload),
        Encapsulation::Indication => sent_to(flow.destination, before.payload),
    };
    match flow.leaves_in {
        Encapsulation::Bare => assert_eq!(after.payload, data),
        Encapsulation::Channel(channel) => assert_eq!(strip(channel, after.payload), data),
        Encapsulation::Indication => assert_eq!(after.payload, told_of(flow.remote, data, after.payload)),
    }
    assert_eq!(usize::try_from(forwarded.payload), Ok(data.len()));
    match before.checksum {
        // Over UDP on IPv4 it may be absent; over IPv6 it may not.
        Checksum::Absent => assert!(after.checksum == Checksum::Absent && after.destination.is_ipv4()),
        checksum => assert_eq!(after.checksum, checksum),
    }
}

/// The data of a ChannelData message of this channel.
fn strip(channel: u16, payload: &[u8]) -> &[u8] {
    let (header, data) = payload.split_at(4);
    let len = u16::try_from(data.len()).expect("a datagram");
    assert_eq!(header, [channel.to_be_bytes(), len.to_be_bytes()].concat());
    data
}

/// The data of a Send indication to this peer, of the plain shape.
fn sent_to(peer: SocketAddr, payload: &[u8]) -> &[u8] {
    let start = if peer.is_ipv4() { 36 } else { 48 };
    let len = u16::from_be_bytes([payload[start - 2], payload[start - 1]]);
    let data = &payload[start..start + usize::from(len)];
    // A FINGERPRINT is user space's to check.
    if let Ok(send) = SendIndication::parse(payload) {
        assert_eq!((send.peer, &payload[send.payload], send.dont_fragment), (peer, data, false));
    }
    data
}

/// The Data indication that says that this peer has sent `data`, of the transaction that `payload` is of.
fn told_of(peer: SocketAddr, data: &[u8], payload: &[u8]) -> Vec<u8> {
    let transaction = TransactionId(payload[8..20].try_into().expect("twelve bytes"));
    let len = u16::try_from(data.len()).expect("a datagram");
    let mut message = DataHeader::new(transaction, peer, len).as_bytes().to_vec();
    message.extend(data);
    message.resize(message.len() + DataHeader::padding(data.len()), 0);
    message
}

fn udp(frame: &[u8]) -> UdpPacket<'_> {
    let packet = Packet {
        unix_nanos: 0,
        interface: 0,
        direction: None,
        dropped: 0,
        link: LinkType::ETHERNET,
        frame,
        file_offset: 0,
        original_len: u32::try_from(frame.len()).expect("a frame"),
        comment: None,
    };
    packet.udp().expect("a UDP datagram")
}

/// Puts the right checksum into the IPv4 header, if there is one, so that what is behind it is reached.
fn set_header_checksum(frame: &mut [u8]) {
    let ip = if frame.get(12..14) == Some(&[0x81, 0]) { 18 } else { 14 };
    let Some(header) = frame.get_mut(ip..ip + 20).filter(|header| header[0] >> 4 == 4) else { return };
    header[10..12].fill(0);
    let sum: u32 = header.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = u16::try_from((folded & 0xffff) + (folded >> 16)).expect("folded twice");
    header[10..12].copy_from_slice(&(!folded).to_be_bytes());
}

/// Both directions of a channel, and of indications with a peer at the next port, for each pair of address families.
fn flows() -> Vec<Flow> {
    let mut flows = Vec::new();
    for client_is_v4 in [true, false] {
        for peer_is_v4 in [true, false] {
            let relay = |is_v4, port| {
                if is_v4 { SocketAddr::from((RELAY_V4, port)) } else { SocketAddr::from((RELAY_V6, port)) }
            };
            // A port for each pair, as a key has no address of the relay's.
            let offset = u16::from(peer_is_v4);
            let client_port = CLIENT_PORT + offset;
            let client =
                if client_is_v4 { (CLIENT_V4, client_port).into() } else { SocketAddr::from((CLIENT_V6, client_port)) };
            let peer_port = PEER_PORT + u16::from(client_is_v4);
            let peer = if peer_is_v4 { (PEER_V4, peer_port).into() } else { SocketAddr::from((PEER_V6, peer_port)) };
            let up = Flow {
                remote: client,
                local: relay(client_is_v4, LISTEN_PORT),
                arrives_in: Encapsulation::Channel(CHANNEL),
                source: relay(peer_is_v4, RELAYED_PORT),
                destination: peer,
                leaves_in: Encapsulation::Bare,
            };
            let down = Flow {
                remote: peer,
                local: up.source,
                arrives_in: Encapsulation::Bare,
                source: up.local,
                destination: client,
                leaves_in: Encapsulation::Channel(CHANNEL),
            };
            let mut other = peer;
            other.set_port(INDICATED_PORT + u16::from(client_is_v4));
            let send = Flow { arrives_in: Encapsulation::Indication, destination: other, ..up };
            let told = Flow { remote: other, leaves_in: Encapsulation::Indication, ..down };
            flows.extend([up, down, send, told]);
        }
    }
    flows
}

struct World {
    flows: Vec<Flow>,
    mtu: u32,
}

impl Host for World {
    fn settings(&self) -> Settings {
        Settings { listen_port: LISTEN_PORT, lowest_port: 49_152, highest_port: 65_535, ..Settings::NOTHING }
    }

    fn route(&mut self, key: &FlowKey, route: &mut Route) -> bool {
        let flow = self.flows.iter().find(|flow| flow.key() == *key);
        flow.is_some_and(|flow| {
            *route = flow.route(0xf_edcb).expect("a sound flow");
            true
        })
    }

    fn next_hop(&mut self, _: &Route, _: &Leaving, _: &mut Link) -> Reason {
        Reason::NoNextHop
    }

    fn fits(&mut self, length: u32) -> bool {
        length <= self.mtu
    }

    fn identification(&mut self) -> u16 {
        0x1234
    }

    fn random(&mut self) -> u32 {
        0xfeed_f00d
    }
}
