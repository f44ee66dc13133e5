//! Sends responses and relayed data.

use std::net::{IpAddr, SocketAddr};

use relay_server::{AllocationId, AllocationPort, Encapsulation, Family, Forward, RelayOpenError, Timestamp, Via};

use super::Sockets;
use crate::{
    addresses::AddressState,
    shard::{
        ingress::{Datagram, ReceiveBuffers},
        network::Network,
        outbound::{Header, Outgoing, Towards, sort_key},
        poller::Source,
        stats::{Counters, Loss},
    },
};

impl Sockets {
    /// The index of the listening socket that sends from `local`.
    const fn sending(&self, local: IpAddr) -> Option<u16> {
        if local.is_ipv4() { self.v4 } else { self.v6 }
    }
}

impl Network for Sockets {
    fn open_relay(
        &mut self,
        now: Timestamp,
        id: AllocationId,
        port: AllocationPort,
        family: Family,
    ) -> Result<(), RelayOpenError> {
        self.open_for(now, id, port, family)
    }

    fn is_relayed(&self, address: SocketAddr) -> bool {
        let relays = if address.is_ipv4() { &self.v4_relays } else { &self.v6_relays };
        self.addresses.held().contains(address) && relays.may_be(address.ip())
    }

    fn close_relay(&mut self, port: AllocationPort, family: Family) {
        self.relays.remove(port, family);
        self.addresses.held().remove(port, family);
    }

    fn set_addresses(&mut self, addresses: &AddressState) {
        self.v4_relays.set(addresses.v4);
        self.v6_relays.set(addresses.v6);
        self.addresses.set_pairs(addresses.families().map(|family| (family.public, family.local)));
    }

    fn respond(&mut self, from: IpAddr, to: SocketAddr, bytes: &[u8], counters: &mut Counters) {
        let index = self.sending(from);
        let listener = index.and_then(|index| self.listeners.get(usize::from(index)));
        let Some(listener) = listener else { return counters.lose(Loss::NoSocket) };
        let source = listener.address.is_none().then_some(from);
        self.outbound.send(&listener.socket, source, to, bytes, counters);
    }

    fn queue(&mut self, datagram: &Datagram, forward: &Forward, buffers: &mut ReceiveBuffers, counters: &mut Counters) {
        let found = match forward.from {
            Via::Listener(from) => self.sending(from).and_then(|index| {
                let listener = self.listeners.get(usize::from(index))?;
                let source = listener.address.is_none().then_some(from);
                Some((Source::Listener(index), source, forward.to))
            }),
            Via::Relay(port) => {
                let (family, source) = if forward.to.is_ipv4() {
                    (Family::V4, self.v4_relays.source())
                } else {
                    (Family::V6, self.v6_relays.source())
                };
                Some((Source::Relay(port, family), source, self.addresses.outgoing(forward.to)))
            }
        };
        let Some((socket, source, to)) = found else { return counters.lose(Loss::NoSocket) };
        let mut bytes = datagram.range.start + forward.payload.start..datagram.range.start + forward.payload.end;
        let (payload, traffic_class) = (bytes.len(), datagram.traffic_class);
        let (own_header, mut padding) = (forward.header(), forward.padding());
        let towards = match own_header {
            relay_server::Header::None if forward.encapsulation == Encapsulation::Unfragmented => {
                Towards::PeerUnfragmented
            }
            relay_server::Header::None => Towards::Peer,
            relay_server::Header::Channel(_) | relay_server::Header::Data(_) => Towards::Client,
        };
        // The kernel fetches one contiguous piece faster than two or three.
        let header = if towards == Towards::Client
            && let Some(wrapped) = buffers.wrap(datagram, bytes.clone(), own_header.as_bytes(), padding)
        {
            (bytes, padding) = (wrapped, 0);
            Header::None
        } else {
            match own_header {
                relay_server::Header::None => Header::None,
                relay_server::Header::Channel(header) => Header::Channel(header),
                relay_server::Header::Data(header) => self.outbound.keep_header(header),
            }
        };
        let padding = u8::try_from(padding).unwrap_or_default();
        let sort_key = sort_key(to);
        self.outbound.push(Outgoing {
            socket,
            source,
            to,
            sort_key,
            towards,
            traffic_class,
            header,
            bytes,
            payload,
            padding,
        });
    }

    fn flush(&mut self, buffers: &ReceiveBuffers, counters: &mut Counters) {
        let Self { outbound, listeners, relays, .. } = self;
        let find = |socket| match socket {
            Source::Listener(index) => listeners.get(usize::from(index)).map(|listener| &listener.socket),
            Source::Relay(port, family) => relays.get(port, family).map(|relay| &relay.socket),
            Source::Mailbox => None,
        };
        outbound.flush(buffers, find, counters);
    }

    fn peer_address(&self, from: SocketAddr) -> SocketAddr {
        self.addresses.incoming(from)
    }
}
