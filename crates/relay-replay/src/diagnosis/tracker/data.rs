//! Application data between a client and the server.

use std::net::SocketAddr;

use packet_trace::UdpPacket;
use relay_server::DropReason;
use stun_msg::Method;

use super::{Seen, Tracker, about, method, peer_of_channel};
use crate::{
    Change, Flags, Kind, Role,
    diagnosis::{
        client::Client,
        failure::{Failure, What},
        report::ProblemKind,
    },
    dissect, explain,
    timeline::Timeline,
};

/// The port that TURN servers listen on unless told otherwise.
const TURN_PORT: u16 = 3478;

impl Tracker {
    pub(super) fn channel_data(&mut self, timeline: &Timeline, seen: Seen<'_>, udp: &UdpPacket<'_>) {
        let is_server = |endpoint| timeline.endpoints.role(endpoint) == Role::Relay;
        let from_client = !is_server(seen.row.source) || is_server(seen.row.destination);
        let (address, server) = if from_client { (udp.source, udp.destination) } else { (udp.destination, udp.source) };
        // Packets of other protocols, such as QUIC, can look like ChannelData.
        let is_known = self.by_pair.contains_key(&(address, server)) || self.servers.contains(&server);
        if !is_known && server.port() != TURN_PORT {
            return;
        }
        let client = self.client(address, server, seen.moment.at);
        let channel = seen.row.argument;
        let peer = peer_of_channel(timeline, client.allocation, channel);
        if from_client {
            client.sent(seen, What::ChannelData, channel, peer);
        } else {
            client.received(peer, seen.moment.at);
        }
    }

    pub(super) fn indication(&mut self, timeline: &Timeline, seen: Seen<'_>, udp: &UdpPacket<'_>) {
        let (peer, at) = (dissect::peer(udp.payload), seen.moment.at);
        match method(udp.payload) {
            Some(Method::SEND) => {
                self.client(udp.source, udp.destination, at).sent(seen, What::SendIndication, 0, peer);
            }
            Some(Method::DATA) => {
                let client = self.client(udp.destination, udp.source, at);
                if let Some(explanation) = explain::icmp_told(&about(timeline, seen, udp.payload)) {
                    let failure = Failure::new(ProblemKind::Icmp, What::SendIndication, seen.moment, explanation);
                    client.fail(failure.about(peer));
                } else {
                    client.received(peer, seen.moment.at);
                }
            }
            _ => {}
        }
    }

    /// The replayed relay dropped data, or data that every server must drop was sent.
    pub(super) fn data_dropped(
        &mut self,
        timeline: &Timeline,
        seen: Seen<'_>,
        udp: &UdpPacket<'_>,
        reason: DropReason,
        change: &Change,
    ) {
        let Some(explanation) = explain::change(change, &about(timeline, seen, udp.payload)) else { return };
        let is_over_limit =
            matches!(reason, DropReason::AllocationBandwidth | DropReason::UserBandwidth | DropReason::TotalBandwidth);
        let pair = self.by_pair.get(&(udp.source, udp.destination)).copied();
        let (client, what, peer) = match seen.row.kind {
            Kind::ChannelData => {
                let client = pair.and_then(|index| self.clients.get_mut(index));
                let allocation = client.as_ref().and_then(|client| client.allocation);
                (client, What::ChannelData, peer_of_channel(timeline, allocation, seen.row.argument))
            }
            Kind::Indication if method(udp.payload) == Some(Method::SEND) => {
                let client = pair.and_then(|index| self.clients.get_mut(index));
                (client, What::SendIndication, dissect::peer(udp.payload))
            }
            Kind::Data if is_over_limit || reason == DropReason::UnknownPeer => {
                let allocation = self.by_relayed.get(&udp.destination).copied();
                (allocation.and_then(|number| self.client_of(number)), What::PeerData, Some(udp.source))
            }
            _ => return,
        };
        let Some(client) = client.filter(|client| !client.has_ended(what, seen.row.argument)) else { return };
        let peer = peer.filter(|_| reason != DropReason::NoAllocation);
        let kind = if is_over_limit { ProblemKind::OverLimit } else { ProblemKind::Dropped };
        client.fail(Failure::new(kind, what, seen.moment, explanation).about(peer));
    }
}

impl Client {
    /// Whether its allocation, or the channel, has expired.
    fn has_ended(&self, what: What, channel: u16) -> bool {
        self.expired.is_some() || what == What::ChannelData && self.lapsed.contains_key(&channel)
    }

    /// The client sent application data.
    fn sent(&mut self, seen: Seen<'_>, what: What, channel: u16, peer: Option<SocketAddr>) {
        self.acted_at = seen.moment.at;
        let lapsed = self.lapsed.get(&channel).filter(|_| what == What::ChannelData);
        let failure = |explanation| Failure::new(ProblemKind::Expired, what, seen.moment, explanation);
        if let Some(explanation) = self.expired.clone() {
            self.fail(failure(explanation));
        } else if let Some((peer, explanation)) = lapsed.cloned() {
            self.fail(failure(explanation).about(peer));
        } else if !seen.row.flags.contains(Flags::DROPPED) {
            self.to_peers += 1;
            peer.into_iter().for_each(|peer| self.reached(peer, true, seen.moment.at));
        }
    }

    /// The server sent application data to the client.
    fn received(&mut self, peer: Option<SocketAddr>, at: u64) {
        self.from_peers += 1;
        peer.into_iter().for_each(|peer| self.reached(peer, false, at));
    }
}
