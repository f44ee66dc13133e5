//! Test vectors for Send and Data indications.

use std::net::SocketAddr;

use relay_ebpf::{Encapsulation, Flow, Reason};

use super::{Case, Expected, MTU, arriving, flow, forwarded, passed};
use crate::support::{
    packet::{Checksum, Packet},
    stun::{SendStyle, send_indication},
};

/// The length of an indication up to its data, for this peer: STUN header, XOR-PEER-ADDRESS, and the header of DATA.
pub const fn header(peer: SocketAddr) -> usize {
    if peer.is_ipv4() { 36 } else { 48 }
}

/// The data in the Data indication `packet`.
pub fn data(flow: &Flow, packet: &Packet) -> Vec<u8> {
    let header = header(flow.remote);
    let length = u16::from_be_bytes([packet.payload[header - 2], packet.payload[header - 1]]);
    packet.payload[header..][..usize::from(length)].to_vec()
}

/// Flows of Send indications for all pairs of families of client and peer.
fn sends() -> impl Iterator<Item = Flow> {
    super::FAMILIES
        .into_iter()
        .map(|(v4_in, v4_out)| flow(Encapsulation::Indication, Encapsulation::Bare, v4_in, v4_out))
}

pub fn all(cases: &mut Vec<Case>) {
    for flow in sends() {
        written_otherwise(cases, &flow);
        refused(cases, &flow);
    }
    data_refused(cases);
    cut_off(cases);
}

/// Send indications with unusual padding, transaction ID, FINGERPRINT or trailer, which are forwarded all the same.
fn written_otherwise(cases: &mut Vec<Case>, flow: &Flow) {
    for length in [0, 1, 2, 3, 4, 27, 200] {
        let data: Vec<u8> = (0..length).map(|index| (index * 11 + 5) as u8).collect();
        let mut style = |name: &str, style: SendStyle| {
            let name = format!("a Send indication of {length} bytes {name}, {} to {}", flow.remote, flow.destination);
            cases.push(forwarded(name, *flow, &data, |packet| {
                packet.payload = send_indication(flow.destination, &data, style);
            }));
        };
        style("with a FINGERPRINT", SendStyle { fingerprint: true, ..SendStyle::default() });
        style("with padding that is no zeros", SendStyle { padding: 0xa7, ..SendStyle::default() });
        style("with both", SendStyle { padding: 0xff, fingerprint: true, ..SendStyle::default() });
        style("of another transaction", SendStyle { transaction: [0xfe; 12], ..SendStyle::default() });
    }
    let mut trailing = forwarded("a trailer behind a Send indication".into(), *flow, &[3; 64], |_| {});
    trailing.frame.extend([0x5b; 7]);
    cases.push(trailing);
}

fn refused(cases: &mut Vec<Case>, flow: &Flow) {
    use Reason::*;
    let peer = flow.destination;
    let header = header(peer);
    let mut case = |name: &str, reason: Reason, change: &dyn Fn(&mut Vec<u8>)| {
        let name = format!("a Send indication {name}, {} to {peer}", flow.remote);
        cases.push(passed(&name, reason, *flow, |packet| change(&mut packet.payload), |_| {}));
    };
    // For another peer than the flow's.
    case("to another port", NoRoute, &|p| p[26] ^= 1);
    case("to another address", NoRoute, &|p| p[header - 5] ^= 1);
    case("with another cookie", NotChannelData, &|p| p[4] ^= 1);
    case("that is a request", NotChannelData, &|p| p[1] = 0x06);
    case("that is a Data indication", NotChannelData, &|p| p[1] = 0x17);
    // Another shape.
    case("that ends within XOR-PEER-ADDRESS", UnusualIndication, &|p| p.truncate(27));
    case("with a length too long", UnusualIndication, &|p| p[3] += 4);
    case("with a length too short", UnusualIndication, &|p| p[3] -= 4);
    case("with data longer than the message", UnusualIndication, &|p| p[header - 1] += 4);
    case("with data shorter than the message", UnusualIndication, &|p| p[header - 1] -= 4);
    case("with a byte behind it", UnusualIndication, &|p| p.push(0));
    case("with an address of no family", UnusualIndication, &|p| p[25] = 3);
    case("with an address of another family", UnusualIndication, &|p| p[25] ^= 3);
    case("with a byte before its family", UnusualIndication, &|p| p[24] = 1);
    case("with another attribute in front", UnusualIndication, &|p| p[21] = 0x22);
    case("with another attribute in place of DATA", UnusualIndication, &|p| p[header - 3] = 0x1a);
    let more = |attribute: &'static [u8]| {
        move |p: &mut Vec<u8>| {
            p.extend(attribute);
            p[3] += attribute.len() as u8;
        }
    };
    case("with DONT-FRAGMENT", UnusualIndication, &more(&[0, 0x1a, 0, 0]));
    case("with SOFTWARE", UnusualIndication, &more(&[0x80, 0x22, 0, 4, b't', b'e', b's', b't']));
    case("with an empty SOFTWARE twice", UnusualIndication, &more(&[0x80, 0x22, 0, 0, 0x80, 0x22, 0, 0]));
    case("with a FINGERPRINT of another length", UnusualIndication, &more(&[0x80, 0x28, 0, 3, 1, 2, 3, 4]));
    // Without a UDP checksum, only FINGERPRINT covers the bytes, and user space checks it.
    let style = SendStyle { fingerprint: true, ..SendStyle::default() };
    let name = format!("a FINGERPRINT without a checksum, {} to {peer}", flow.remote);
    cases.push(passed(
        &name,
        NoChecksum,
        *flow,
        |packet| {
            packet.payload = send_indication(peer, &[7; 9], style);
            packet.checksum = Checksum::Zero;
        },
        |_| {},
    ));
}

fn data_refused(cases: &mut Vec<Case>) {
    for (v4, largest) in [(true, MTU as usize - 28 - 36), (false, MTU as usize - 48 - 48)] {
        let down = flow(Encapsulation::Bare, Encapsulation::Indication, v4, v4);
        let full = |bytes: usize| move |packet: &mut Packet| packet.payload = vec![9; bytes];
        let name = format!("a Data indication beyond the MTU by its padding, {}", down.remote);
        cases.push(passed(&name, Reason::TooLarge, down, full(largest + 1), |_| {}));
        cases.push(forwarded("a Data indication that fills the MTU".into(), down, &vec![9; largest], |_| {}));
    }
}

/// Send indications cut off after every byte.
fn cut_off(cases: &mut Vec<Case>) {
    for flow in sends() {
        let message = send_indication(
            flow.destination,
            &[1, 2, 3, 4, 5],
            SendStyle { fingerprint: true, ..SendStyle::default() },
        );
        let mut packet = arriving(&flow, &[]);
        packet.payload = message.clone();
        let whole = packet.build();
        let headers = whole.len() - message.len();
        for length in headers..whole.len() {
            let name = format!("{length} bytes of {} of a Send indication, {}", whole.len(), flow.remote);
            let expected = Expected::Passed(Reason::Truncated);
            cases.push(Case { name, flow, frame: whole[..length].to_vec(), expected });
        }
        // The same with consistent lengths in the IP and UDP headers.
        for length in 0..message.len() {
            packet.payload = message[..length].to_vec();
            let reason = if length < 4 { Reason::NotChannelData } else { Reason::UnusualIndication };
            let name =
                format!("{length} bytes of {} of a Send indication in a whole packet, {}", message.len(), flow.remote);
            cases.push(Case { name, flow, frame: packet.build(), expected: Expected::Passed(reason) });
        }
    }
}
