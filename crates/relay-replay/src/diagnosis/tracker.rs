//! Follows each client through a capture.

mod data;
mod response;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use packet_trace::{Packet, UdpPacket};
use relay_server::{DropReason, RemovalReason};
use stun_msg::Method;

use super::{
    capture::Capture,
    cause,
    client::Client,
    failure::{Failure, Moment, What},
    report::{ClientReport, ProblemKind, Report, Status, Summary},
    requests::{Key, Request, Requests, Sent},
};
use crate::{
    Change, Flags, Kind, Outcome, Row, Session,
    dissect::{self, class_and_method},
    explain::{self, About},
    timeline::Timeline,
};

/// How long a server may take to answer, and a client to ask again, in nanoseconds: the first retransmission of
/// [RFC 8489, section 6.2.1](https://www.rfc-editor.org/rfc/rfc8489#section-6.2.1).
const ANSWER_TIME: u64 = 500_000_000;
/// Retransmissions this long after the first answer were not sent before it arrived, in nanoseconds.
const ANSWER_LOST_TIME: u64 = 1_000_000_000;
/// This many retransmissions after the answer mean that the client does not receive it.
const ANSWER_LOST_COPIES: u32 = 2;

/// PRIORITY, USE-CANDIDATE, ICE-CONTROLLED and ICE-CONTROLLING: the attributes of connectivity checks
/// ([RFC 8445, section 16.1](https://www.rfc-editor.org/rfc/rfc8445#section-16.1)).
const ICE: [u16; 4] = [0x0024, 0x0025, 0x8029, 0x802a];

#[derive(Debug, Default)]
pub(super) struct Tracker {
    capture: Capture,
    clients: Vec<Client>,
    by_pair: BTreeMap<(SocketAddr, SocketAddr), usize>,
    servers: BTreeSet<SocketAddr>,
    requests: Requests,
    /// The newest request's row, and its key.
    newest: Option<(u32, Key)>,
    /// Clients by the numbers of their allocations, and allocations by their relayed transport addresses.
    by_allocation: BTreeMap<u32, usize>,
    by_relayed: BTreeMap<SocketAddr, u32>,
    /// Allocations that are older than the recording, by client and server, until a packet of the client comes.
    older: BTreeMap<(SocketAddr, SocketAddr), (u32, Vec<SocketAddr>)>,
    rows_seen: u32,
    changes_seen: u32,
}

/// The row being processed.
#[derive(Clone, Copy, Debug)]
struct Seen<'a> {
    row: &'a Row,
    /// The row's index.
    index: u32,
    /// `None` if the row is no packet.
    udp: Option<&'a UdpPacket<'a>>,
    moment: Moment,
}

impl Tracker {
    /// Processes the new rows and changes of `timeline` after a packet or another record, then removes them from it.
    pub(super) fn see(&mut self, timeline: &mut Timeline, packet: Option<&Packet<'_>>) {
        self.capture.records += 1;
        if let Some(packet) = packet {
            let icmp = packet.icmp_error();
            let about_client = icmp.and_then(|icmp| self.by_pair.get(&(icmp.source, icmp.destination)));
            if let Some(client) = about_client.and_then(|index| self.clients.get_mut(*index)) {
                client.unreachable = icmp.map(|icmp| (packet.unix_nanos, icmp));
            }
            self.capture.count(packet, about_client.is_some());
        }
        let udp = packet.and_then(|packet| packet.udp().ok());
        for index in timeline.first()..timeline.len() {
            let Some(row) = timeline.row(index) else { continue };
            let moment = Moment { packet: self.capture.records, at: row.unix_nanos };
            let seen = Seen { row, index, udp: udp.as_ref().filter(|_| row.kind != Kind::Internal), moment };
            if index >= self.rows_seen {
                self.packet(timeline, seen);
            }
            for change in timeline.changes_from(index, self.changes_seen) {
                self.change(timeline, seen, change);
            }
        }
        self.rows_seen = timeline.len();
        self.changes_seen = timeline.changes_len();
        self.capture.differences += timeline.differences.len() as u64;
        timeline.forget();
        while let Some((key, request)) = self.requests.pop_old(self.capture.now) {
            self.conclude(&key, &request, false);
        }
    }

    fn packet(&mut self, timeline: &Timeline, seen: Seen<'_>) {
        let Some(udp) = seen.udp else { return };
        let is_message = matches!(seen.row.kind, Kind::Request | Kind::Success | Kind::Error);
        if is_message && seen.row.flags.contains(Flags::TRUNCATED) {
            self.capture.cut_messages += 1;
        }
        match seen.row.kind {
            Kind::Request => self.request(seen, udp),
            Kind::Success | Kind::Error => self.response(timeline, seen, udp),
            Kind::ChannelData => self.channel_data(timeline, seen, udp),
            Kind::Indication => self.indication(timeline, seen, udp),
            Kind::Unusable | Kind::Other | Kind::Data | Kind::Malformed | Kind::Internal => {}
        }
    }

    fn request(&mut self, seen: Seen<'_>, udp: &UdpPacket<'_>) {
        let message = udp.payload;
        let (Some(method), Some(transaction)) = (method(message), transaction(message)) else { return };
        if method == Method::BINDING && dissect::types(message).any(|number| ICE.contains(&number)) {
            self.capture.connectivity_checks += 1;
            return;
        }
        let is_turn = is_turn(method);
        if !is_turn && method != Method::BINDING && !self.by_pair.contains_key(&(udp.source, udp.destination)) {
            return;
        }
        if is_turn {
            self.servers.insert(udp.destination);
            self.capture.requests += 1;
        }
        let key = (udp.source, transaction, udp.destination);
        let lifetime = dissect::find(message, dissect::LIFETIME);
        let at = seen.moment.at;
        let sent = self.requests.add(
            key,
            Request {
                method,
                row: *seen.row,
                index: seen.index,
                message: message.to_vec(),
                peers: dissect::addresses(message, dissect::XOR_PEER_ADDRESS).collect(),
                is_deletion: method == Method::REFRESH && lifetime == Some(&[0; 4]),
                first: seen.moment,
                last_at: at,
                times: 1,
                times_answered: 0,
                answered_at: None,
                outcome: None,
            },
        );
        self.newest = Some((seen.index, key));
        let client = self.client(udp.source, udp.destination, at);
        match sent {
            Some(Sent::New) => client.asked(method, at),
            Some(Sent::Again) => client.asked_again(method),
            None => {}
        }
        if let Some(username) = dissect::find(message, dissect::USERNAME) {
            client.username = text(username);
        }
    }

    fn change(&mut self, timeline: &Timeline, seen: Seen<'_>, change: &Change) {
        match change {
            Change::Began { allocations, is_draining, .. } => {
                self.capture.is_draining |= is_draining;
                for (&number, allocation) in allocations.iter() {
                    let relayed: Vec<_> = allocation.relayed.iter().map(|relayed| relayed.address).collect();
                    self.by_relayed.extend(relayed.iter().map(|relayed| (*relayed, number)));
                    self.older.insert((allocation.client, allocation.server), (number, relayed));
                }
            }
            Change::Created(new) => {
                let client = self.by_pair.get(&(new.client, new.server)).copied();
                if let Some((index, client)) = client.and_then(|index| Some((index, self.clients.get_mut(index)?))) {
                    client.allocated(new.number, &new.relayed);
                    self.by_allocation.insert(new.number, index);
                    self.by_relayed.extend(new.relayed.iter().map(|relayed| (*relayed, new.number)));
                }
            }
            Change::Removed { allocation, reason } => {
                self.by_relayed.retain(|_, number| number != allocation);
                self.older.retain(|_, (number, _)| number != allocation);
                let Some(explanation) = explain::change(change, &about(timeline, seen, &[])) else { return };
                let client = self.by_allocation.remove(allocation).and_then(|index| self.clients.get_mut(index));
                let Some(client) = client.filter(|client| client.allocation == Some(*allocation)) else { return };
                client.allocation = None;
                match reason {
                    RemovalReason::Expired => client.expired = Some(explanation),
                    RemovalReason::RelayFailed => {
                        let what = What::Request(Method::ALLOCATE);
                        client.fail(Failure::new(ProblemKind::Ended, what, seen.moment, explanation));
                    }
                    RemovalReason::Deleted | RemovalReason::Replaced => {}
                }
            }
            Change::ChannelExpired { allocation, channel } => {
                let peer = peer_of_channel(timeline, Some(*allocation), *channel);
                let explanation = explain::change(change, &about(timeline, seen, &[]));
                if let (Some(client), Some(explanation)) = (self.client_of(*allocation), explanation) {
                    client.channel_lapsed(*channel, peer, explanation);
                }
            }
            Change::ChannelBound { allocation, channel, .. } => {
                if let Some(client) = self.client_of(*allocation) {
                    client.lapsed.remove(channel);
                }
            }
            Change::Responded { outcome: outcome @ Outcome::Rejected(_), .. } => {
                let index = if seen.row.kind == Kind::Internal { seen.row.related } else { seen.index };
                let request = match self.newest {
                    Some((newest, key)) if newest == index => self.requests.get_mut(&key),
                    _ => self.requests.in_row(index),
                };
                if let Some(request) = request {
                    request.outcome = Some(*outcome);
                }
            }
            Change::Dropped { reason } => self.dropped(timeline, seen, *reason, change),
            Change::Draining => self.capture.is_draining = true,
            _ => {}
        }
    }

    fn dropped(&mut self, timeline: &Timeline, seen: Seen<'_>, reason: DropReason, change: &Change) {
        let Some(udp) = seen.udp else { return };
        if seen.row.kind != Kind::Request {
            return self.data_dropped(timeline, seen, udp, reason, change);
        }
        let (Some(method), Some(transaction)) = (method(udp.payload), transaction(udp.payload)) else { return };
        let Some(explanation) = explain::change(change, &about(timeline, seen, udp.payload)) else { return };
        if reason == DropReason::RequestInProgress {
            return;
        }
        self.requests.remove(&(udp.source, transaction, udp.destination));
        let client = self.client(udp.source, udp.destination, seen.moment.at);
        client.fail(Failure::new(ProblemKind::Dropped, What::Request(method), seen.moment, explanation));
    }

    /// Decides about a request that will not be answered any more.
    fn conclude(&mut self, &(address, _, server): &Key, request: &Request, is_end: bool) {
        let now = self.capture.now;
        let Some(client) = self.by_pair.get(&(address, server)).and_then(|index| self.clients.get_mut(*index)) else {
            return;
        };
        let failure = |kind, explanation| {
            let mut failure = Failure::new(kind, What::Request(request.method), request.first, explanation)
                .about(request.peers.iter().copied());
            failure.last_at = request.last_at;
            failure.count = u64::from(request.times);
            failure
        };
        if let Some(answered_at) = request.answered_at {
            let copies = request.times_answered;
            let is_late = request.last_at >= answered_at.saturating_add(ANSWER_LOST_TIME);
            if copies >= ANSWER_LOST_COPIES && is_late && client.acted_at <= answered_at {
                client.answer_lost(request.method, failure(ProblemKind::AnswerLost, cause::answer_lost(copies)));
            }
        } else if is_end && request.times == 1 && now < request.first.at.saturating_add(ANSWER_TIME) {
            client.is_waiting();
        } else {
            let icmp = client.unreachable.as_ref().filter(|(at, _)| *at >= request.first.at);
            let explanation = icmp.map_or_else(explain::no_answer, |(_, icmp)| cause::unreachable(icmp));
            let failure = failure(ProblemKind::Unanswered, explanation);
            client.unanswered(request.method, request.is_deletion, failure);
        }
    }

    pub(super) fn finish(mut self, session: &Session) -> Report {
        self.capture.differences += session.differences().len() as u64;
        while let Some((key, request)) = self.requests.pop() {
            self.conclude(&key, &request, true);
        }
        for client in &mut self.clients {
            client.end(self.capture.now);
        }
        let served: BTreeSet<_> =
            self.clients.iter().filter(|client| client.has_allocated()).map(|client| client.address).collect();
        for client in self.clients.iter_mut().filter(|client| client.was_redirected()) {
            if served.contains(&client.address) {
                client.forgive();
            }
        }
        let start = self.capture.start();
        let clients: Vec<_> = self.clients.into_iter().map(|client| client.report(start)).collect();
        let count = |status| clients.iter().filter(|client| client.status == status).count() as u64;
        let error = session.error().cloned().or_else(|| self.capture.error());
        let is_unheard = |client: &&ClientReport| {
            client.status == Status::Succeeded && client.packets_to_peers > 0 && client.packets_from_peers == 0
        };
        let unheard = clients.iter().filter(is_unheard).count() as u64;
        Report {
            summary: Summary {
                clients: clients.len() as u64,
                succeeded: count(Status::Succeeded),
                partly: count(Status::Partly),
                failed: count(Status::Failed),
                undecided: count(Status::Undecided),
            },
            capture: self.capture.report(session, error.as_ref(), unheard),
            clients,
            error,
        }
    }

    /// How many requests are kept.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.requests.len()
    }

    /// The client with these addresses. Adds it if it is new.
    fn client(&mut self, address: SocketAddr, server: SocketAddr, at: u64) -> &mut Client {
        let clients = &mut self.clients;
        let index = *self.by_pair.entry((address, server)).or_insert_with(|| {
            let mut client = Client::new(address, server, at);
            if let Some((allocation, relayed)) = self.older.remove(&(address, server)) {
                client.allocated(allocation, &relayed);
                self.by_allocation.insert(allocation, clients.len());
            }
            clients.push(client);
            clients.len() - 1
        });
        &mut self.clients[index]
    }

    fn client_of(&mut self, allocation: u32) -> Option<&mut Client> {
        self.clients.get_mut(*self.by_allocation.get(&allocation)?)
    }
}

fn is_turn(method: Method) -> bool {
    matches!(method, Method::ALLOCATE | Method::REFRESH | Method::CREATE_PERMISSION | Method::CHANNEL_BIND)
}

fn method(message: &[u8]) -> Option<Method> {
    message.first_chunk().map(|kind| class_and_method(u16::from_be_bytes(*kind)).1)
}

fn transaction(message: &[u8]) -> Option<[u8; 12]> {
    message.get(8..)?.first_chunk().copied()
}

/// Decodes text. Some senders include the padding in its length.
fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_end_matches('\0').to_owned()
}

/// The context for explanations of `seen`. `message` is its request or indication.
fn about<'a>(timeline: &Timeline, seen: Seen<'a>, message: &'a [u8]) -> About<'a> {
    let is_from_peer = seen.row.kind == Kind::Data && !seen.row.flags.contains(Flags::OUTBOUND);
    let peer = if is_from_peer { seen.row.source } else { seen.row.peer };
    About {
        row: seen.row,
        other: None,
        message,
        peer: timeline.endpoints.get(peer).map(|endpoint| endpoint.address),
        channels_only: timeline.channels_only,
    }
}

fn peer_of_channel(timeline: &Timeline, allocation: Option<u32>, channel: u16) -> Option<SocketAddr> {
    Some(timeline.view.allocations.get(&allocation?)?.channels.get(&channel)?.peer)
}
