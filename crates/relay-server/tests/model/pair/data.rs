//! Application data: checks what is relayed, and where to.

use std::{net::SocketAddr, ops::Range};

use relay_server::{AllocationPort, DropReason, Encapsulation, Event, Forward, Icmp, PeerSocket, TooEarly, Via};

use super::Pair;
use crate::{
    op::Oddity,
    route::{Route, Wrapping, route},
    support::{Client, Request, channel_data, kind, method},
};

pub(super) const SEND: u16 = method::SEND | method::INDICATION;

impl Pair {
    pub(super) fn channel_data(&mut self, client: usize, number: u16, len: usize, padding: usize) {
        let mut datagram = channel_data(number, &vec![7; len]);
        datagram.extend(vec![0xEE; padding]);
        let expected = match (0x4000..0x8000).contains(&number) {
            true => self.reference.route_of_client(self.clients[client].five_tuple(), number),
            // With a number outside the range, the datagram is not ChannelData.
            false => Err(DropReason::NotStunNorChannelData),
        };
        let (forward, dropped) = self.receive(client, &datagram);
        self.expect(forward, &dropped, expected, 4..4 + len);
    }

    pub(super) fn send_indication(
        &mut self,
        client: usize,
        peer: Option<SocketAddr>,
        len: Option<usize>,
        oddity: Option<Oddity>,
    ) {
        let (datagram, payload) = send(&mut self.clients[client], peer, len, oddity);
        let expected = match (peer, len, oddity) {
            (.., Some(Oddity::WrongFingerprint)) => Err(DropReason::MalformedStun),
            _ if !self.reference.config.indications => Err(DropReason::SendIndication),
            (.., Some(Oddity::UnknownAttribute)) => Err(DropReason::UnknownAttribute),
            (None, ..) | (_, None, _) => Err(DropReason::IncompleteSend),
            (Some(peer), _, oddity) => {
                let client = self.clients[client].five_tuple();
                let is_v4 = peer.is_ipv4() && client.client.address().is_ipv4();
                let dont_fragment = is_v4 && matches!(oddity, Some(Oddity::DontFragment));
                self.reference.route_of_send(client, peer, dont_fragment)
            }
        };
        let (forward, dropped) = self.receive(client, &datagram);
        if let (Some(peer), Ok((Via::Relay(port), _, Wrapping::Bare))) = (peer, expected) {
            self.reference.remember(port.get(), peer);
        }
        self.expect(forward, &dropped, expected, payload);
    }

    pub(super) fn peer_datagram(&mut self, port: u16, peer: SocketAddr, len: usize) {
        let expected = self.reference.route_of_peer(port, peer);
        if let Ok((.., Wrapping::Data(_))) = expected {
            self.reference.remember(port, peer);
        }
        let port = AllocationPort::new(port);
        let forward =
            self.relay.server.handle_peer_datagram(self.relay.now, port, PeerSocket::new(peer), &vec![7; len]);
        let dropped = self.drops();
        self.expect(forward, &dropped, expected, 0..len);
    }

    pub(super) fn icmp(&mut self, port: u16, peer: SocketAddr, (icmp_type, code): (u8, u8)) {
        const MTU: u32 = 1_280;
        let now = self.relay.now;
        let icmp = Icmp { icmp_type, code, error_data: MTU };
        self.relay.server.handle_icmp(now, AllocationPort::new(port), PeerSocket::new(peer), icmp);
        let dropped = self.drops();
        let sent = self.relay.take_sent().map(|sent| {
            assert_eq!(sent.response.bytes[..2], [0x00, 0x17], "a Data indication");
            let [peer] = sent.response.addresses(kind::XOR_PEER_ADDRESS)[..] else { panic!("one peer") };
            (sent.from, sent.to, peer, sent.response.attribute(kind::ICMP).unwrap().to_vec())
        });
        let told = match (sent, &dropped[..]) {
            (Some(sent), []) => Some(Ok(sent)),
            (None, [reason]) => Some(Err(*reason)),
            (None, []) => None,
            other => panic!("either told or dropped: {other:?}"),
        };
        let expected = self.reference.icmp(now, port, peer, (icmp_type, code)).map(|told| {
            told.map(|(client, has_mtu)| {
                let [m0, m1, m2, m3] = if has_mtu { MTU } else { 0 }.to_be_bytes();
                (client.server, client.client.address(), peer, vec![0, 0, icmp_type, code, m0, m1, m2, m3])
            })
        });
        assert_eq!(told, expected);
    }

    /// What the relay does with a client's datagram. Tries `handle_client_datagram_in_order` first.
    pub(super) fn receive(&mut self, client: usize, datagram: &[u8]) -> (Option<Forward>, Vec<DropReason>) {
        let (now, five_tuple) = (self.relay.now, self.clients[client].five_tuple());
        match self.relay.server.handle_client_datagram_in_order(now, five_tuple, datagram) {
            Ok(forward) => (forward, self.drops()),
            Err(TooEarly) => {
                assert_eq!(self.drops(), [], "it was left alone");
                let forward = self.relay.server.handle_client_datagram(now, five_tuple, datagram);
                let dropped = self.drops();
                assert!(matches!(dropped[..], [DropReason::NoChannel | DropReason::NoPermission]), "{dropped:?}");
                (forward, dropped)
            }
        }
    }

    /// Checks that the datagram was relayed or dropped as expected.
    pub(super) fn expect(
        &mut self,
        forward: Option<Forward>,
        dropped: &[DropReason],
        expected: Result<Route, DropReason>,
        payload: Range<usize>,
    ) {
        let real = match (&forward, dropped) {
            (Some(forward), []) => Ok(route(forward)),
            (None, [reason]) => Err(*reason),
            other => panic!("either relayed or dropped: {other:?}"),
        };
        assert_eq!(real, expected);
        let Some(forward) = forward else { return };
        assert_eq!(forward.payload, payload);
        if let Encapsulation::Data { transaction, .. } = forward.encapsulation {
            assert_ne!(self.last_transaction.replace(transaction), Some(transaction), "a transaction ID of its own");
        }
    }

    /// Why the last datagram was dropped. Applies all other events to the ledger.
    fn drops(&mut self) -> Vec<DropReason> {
        self.relay.drain();
        let mut reasons = Vec::new();
        for event in self.relay.take_events() {
            match event {
                Event::Dropped { reason, .. } => reasons.push(reason),
                event => self.ledger.enter(&event),
            }
        }
        reasons
    }
}

/// A Send indication, and the range of its data.
pub(super) fn send(
    client: &mut Client,
    peer: Option<SocketAddr>,
    len: Option<usize>,
    oddity: Option<Oddity>,
) -> (Vec<u8>, Range<usize>) {
    let mut request = Request::new(SEND);
    if let Some(peer) = peer {
        request = request.with_peer(peer);
    }
    let start = 20 + peer.map_or(0, |peer| if peer.is_ipv4() { 12 } else { 24 }) + 4;
    if let Some(len) = len {
        request = request.with(kind::DATA, &vec![7; len]);
    }
    match oddity {
        Some(Oddity::DontFragment) => request = request.with(kind::DONT_FRAGMENT, &[]),
        Some(Oddity::UnknownAttribute) => request = request.with(0x7777, b"value"),
        Some(Oddity::Fingerprint | Oddity::WrongFingerprint) => request = request.with_fingerprint(),
        None => {}
    }
    let mut datagram = client.unsigned(&request);
    if let (Some(Oddity::WrongFingerprint), Some(last)) = (oddity, datagram.last_mut()) {
        *last ^= 1;
    }
    (datagram, start..start + len.unwrap_or(0))
}
