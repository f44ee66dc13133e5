//! Drives the relay's state machine with recorded packets and compares its output with the recording.

#[cfg(feature = "snapshots")]
mod begin;
mod change;
mod config;
mod credentials;
mod input;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
};

use packet_trace::{Clock, Direction, Packet, TraceHeader};
use relay_server::{
    Allocation, AllocationId, AllocationPort, AuthError, ClientSocket, Encapsulation, Event, FiveTuple, Forward,
    Output, PeerSocket, PortRange, QuotaHolder, Rejection, Server, ShardId, Timestamp, UnixTime, Via,
};
use stun_msg::SendIndication;

use crate::{Carrier, Change, DifferenceKind, Kind, NotReplayed, Role, Row, classify, dissect, timeline::Timeline};

/// An expected packet counts as not recorded after this many later matches. A recording may swap neighbouring packets, but no more.
const PATIENCE: u64 = 256;

#[derive(Debug)]
pub(crate) struct Replay {
    clock: Clock,
    /// `None` until the state has come that the shard begins with.
    shards: Vec<Option<Shard>>,
}

#[derive(Debug)]
struct Shard {
    index: u32,
    server: Server,
    listen_port: u16,
    /// Whether it has the secrets that the recorded shard had.
    with_secret: bool,
    /// Packets that the replayed relay has sent and that have not occurred in the recording yet.
    expected: VecDeque<Expected>,
    sent: u64,
    /// The session's numbers of live allocations, by the relay's ids, by port and by client.
    numbers: BTreeMap<u64, u32>,
    by_port: BTreeMap<u16, u32>,
    by_client: BTreeMap<FiveTuple, u32>,
    /// Allocate requests that wait for their relay sockets, by allocation id.
    opening: BTreeMap<u64, (AllocationId, u32)>,
    /// Allocations that wait for the answer about their quota, by allocation id.
    claiming: BTreeMap<u64, (AllocationId, QuotaHolder, u32)>,
}

#[derive(Debug)]
struct Expected {
    sequence: u64,
    /// The row that caused it.
    cause: u32,
    from: Via,
    to: SocketAddr,
    bytes: Vec<u8>,
}

impl Replay {
    /// The relay that `header` describes. The error says what is wrong with the description.
    pub(crate) fn new(header: &TraceHeader) -> Result<Self, String> {
        let accepted = credentials::of_header(header)?;
        let mut shards = Vec::new();
        for (index, shard) in header.shards.iter().enumerate() {
            let config = config::config(&shard.config)?;
            let server = Server::new(
                config,
                Arc::clone(&accepted),
                shard.seed,
                Timestamp::from_nanos(shard.started_nanos),
                UnixTime(shard.unix_seconds),
            )
            .map_err(|error| error.to_string())?;
            let server = match header.ports_of_all_shards {
                Some((lowest, highest)) => {
                    let all_ports = PortRange::new(lowest, highest).map_err(|error| error.to_string())?;
                    let number = |count: usize| u16::try_from(count).map_err(|_| "there are too many shards");
                    server.as_shard(ShardId::new(number(index)?), number(header.shards.len())?, all_ports)
                }
                None => server,
            };
            shards.push(Some(Shard::new(u32::try_from(index).unwrap_or(u32::MAX), server, true)));
        }
        if shards.is_empty() { Err("there are no shards".to_owned()) } else { Ok(Self { clock: header.clock, shards }) }
    }

    /// A shard, if the header has it.
    ///
    /// # Errors
    ///
    /// When its state has not come.
    fn shard(&mut self, index: u32) -> Result<Option<&mut Shard>, NotReplayed> {
        match usize::try_from(index).ok().and_then(|index| self.shards.get_mut(index)) {
            Some(None) => Err(NotReplayed::NoState(index)),
            found => Ok(found.and_then(Option::as_mut)),
        }
    }

    #[cfg(test)]
    pub(crate) fn server(&self, shard: usize) -> Option<&Server> {
        self.shards.get(shard)?.as_ref().map(|shard| &shard.server)
    }

    /// Replays a packet, unless it cannot be replayed. No packet after that one can be, either.
    pub(crate) fn packet(&mut self, timeline: &mut Timeline, row: u32, packet: &Packet<'_>) -> Result<(), NotReplayed> {
        let now = Timestamp::from_nanos(self.clock.to_monotonic(packet.unix_nanos));
        let Some(shard) = self.shard(packet.interface)? else { return Ok(()) };
        let Ok(udp) = packet.udp() else { return Ok(()) };
        if packet.direction == Some(Direction::Outbound) {
            shard.mark(timeline, row, udp.source.port());
            shard.outbound(timeline, row, udp.source, udp.destination, udp.payload, udp.payload_len);
            Ok(())
        } else {
            shard.mark(timeline, row, udp.destination.port());
            // Only application data is ever truncated, and the relay does not read it.
            let mut datagram = udp.payload.to_vec();
            datagram.resize(udp.payload_len, 0);
            shard.inbound(timeline, row, now, udp.source, udp.destination, &datagram)
        }
    }

    /// Reports expected packets that were not recorded. Reports nothing if packets are missing from the file.
    pub(crate) fn end(&mut self, timeline: &mut Timeline, has_gaps: bool) {
        for shard in self.shards.iter_mut().flatten() {
            for expected in std::mem::take(&mut shard.expected) {
                if !has_gaps {
                    expected.report(timeline);
                }
            }
        }
    }
}

impl Shard {
    const fn new(index: u32, server: Server, with_secret: bool) -> Self {
        Self {
            index,
            listen_port: server.config().listen_port,
            server,
            with_secret,
            expected: VecDeque::new(),
            sent: 0,
            numbers: BTreeMap::new(),
            by_port: BTreeMap::new(),
            by_client: BTreeMap::new(),
            opening: BTreeMap::new(),
            claiming: BTreeMap::new(),
        }
    }

    /// Sets the roles of a packet's endpoints, once the relay's port is known.
    fn mark(&self, timeline: &mut Timeline, row: u32, local_port: u16) {
        let Some(found) = timeline.row_mut(row) else { return };
        let outbound = found.flags.contains(crate::Flags::OUTBOUND);
        let (local, remote) =
            if outbound { (found.source, found.destination) } else { (found.destination, found.source) };
        if local_port == self.listen_port {
            timeline.set_role(local, Role::Relay);
            timeline.set_role(remote, Role::Client);
        } else {
            (found.kind, found.method, found.argument, found.peer) = (Kind::Data, 0, 0, Row::NONE);
            timeline.set_role(local, Role::Relayed);
            timeline.set_role(remote, Role::Peer);
        }
    }

    fn inbound(
        &mut self,
        timeline: &mut Timeline,
        row: u32,
        now: Timestamp,
        from: SocketAddr,
        to: SocketAddr,
        datagram: &[u8],
    ) -> Result<(), NotReplayed> {
        let forward = if to.port() == self.listen_port {
            let five_tuple = FiveTuple { client: ClientSocket::new(from), server: to.ip() };
            let forward = self.server.handle_client_datagram(now, five_tuple, datagram);
            let number = self.by_client.get(&five_tuple).copied();
            forward.map(|forward| (forward, number, true))
        } else {
            let port = AllocationPort::new(to.port());
            let forward = self.server.handle_peer_datagram(now, port, PeerSocket::new(from), datagram);
            let number = self.by_port.get(&to.port()).copied();
            forward.map(|forward| (forward, number, false))
        };
        let outputs = self.outputs();
        if !self.with_secret && outputs.iter().any(depends_on_secret) {
            return Err(NotReplayed::SecretNeeded { packet: row.saturating_add(1) });
        }
        self.take(timeline, Some(row), outputs);
        if let Some((forward, allocation, from_client)) = forward {
            self.forward(timeline, row, forward, allocation, from_client, datagram);
        }
        Ok(())
    }

    fn forward(
        &mut self,
        timeline: &mut Timeline,
        row: u32,
        forward: Forward,
        allocation: Option<u32>,
        from_client: bool,
        datagram: &[u8],
    ) {
        let length = u16::try_from(forward.payload.len()).unwrap_or(u16::MAX);
        let towards_client = match forward.encapsulation {
            Encapsulation::Bare | Encapsulation::Unfragmented => None,
            Encapsulation::Channel(channel) => Some(Carrier::Channel(channel.get())),
            Encapsulation::Data { peer, .. } => Some(Carrier::Indication(peer)),
        };
        let from_this_client = match dissect::peer(datagram).filter(|_| SendIndication::is_send(datagram)) {
            Some(peer) => Carrier::Indication(peer),
            None => Carrier::Channel(classify::payload(datagram, datagram.len()).2),
        };
        let carrier = if from_client { Some(from_this_client) } else { towards_client };
        let crossed_to = match (forward.from, towards_client) {
            (Via::Listener(server), Some(carrier)) if from_client => {
                let five_tuple = FiveTuple { client: ClientSocket::new(forward.to), server };
                self.by_client.get(&five_tuple).map(|allocation| (*allocation, carrier))
            }
            _ => None,
        };
        if let Some(carrier) = carrier {
            let bytes = u32::from(length);
            timeline.change(Change::Relayed { allocation, carrier, bytes, from_client, crossed_to });
        }
        let bytes = forward.to_vec(datagram);
        self.expect(row, forward.from, forward.to, bytes);
    }

    fn expect(&mut self, cause: u32, from: Via, to: SocketAddr, bytes: Vec<u8>) {
        self.expected.push_back(Expected { sequence: self.sent, cause, from, to, bytes });
        self.sent += 1;
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.server.poll_output()).collect()
    }

    /// Handles outputs. `cause` is the row that they are due to.
    fn take(&mut self, timeline: &mut Timeline, cause: Option<u32>, outputs: Vec<Output>) {
        let last = timeline.len().saturating_sub(1);
        for output in outputs {
            match output {
                Output::Transmit { from, to, bytes } => {
                    self.expect(cause.unwrap_or(last), Via::Listener(from), to.address(), bytes);
                }
                Output::ClaimQuota { id, holder, .. } => {
                    self.claiming.insert(id.as_u64(), (id, holder, cause.unwrap_or(last)));
                }
                Output::OpenRelay { id, .. } => {
                    self.opening.entry(id.as_u64()).or_insert_with(|| (id, cause.unwrap_or(last)));
                }
                Output::Event(event) => {
                    if let Some(change) = self.change(timeline, event) {
                        timeline.change(change);
                    }
                }
                _ => {}
            }
        }
    }

    /// Removes the last response to `to`, which the relay made and withheld.
    fn withheld(&mut self, to: SocketAddr) {
        if let Some(position) = self.expected.iter().rposition(|expected| expected.to == to) {
            self.expected.remove(position);
        }
    }

    /// Finds the replayed counterpart of a recorded packet.
    fn outbound(
        &mut self,
        timeline: &mut Timeline,
        row: u32,
        from: SocketAddr,
        to: SocketAddr,
        captured: &[u8],
        len: usize,
    ) {
        let same_way = |expected: &Expected| {
            expected.to == to
                && match expected.from {
                    Via::Listener(ip) => from == SocketAddr::new(ip, self.listen_port),
                    Via::Relay(port) => from.port() == port.get(),
                }
        };
        let same_bytes = |expected: &Expected| expected.bytes.len() == len && expected.bytes.starts_with(captured);
        let exact = self.expected.iter().position(|expected| same_way(expected) && same_bytes(expected));
        if let Some(found) = exact.and_then(|position| self.expected.remove(position)) {
            timeline.relate(found.cause, row);
            while self.expected.front().is_some_and(|first| first.sequence + PATIENCE < found.sequence) {
                if let Some(lost) = self.expected.pop_front() {
                    lost.report(timeline);
                }
            }
            return;
        }
        let similar = self.expected.iter().position(same_way);
        if let Some(found) = similar.and_then(|position| self.expected.remove(position)) {
            timeline.relate(found.cause, row);
            timeline.difference(row, DifferenceKind::Bytes, describe(captured, len, &found.bytes));
        } else {
            let what = dissect::dissect_payload(captured, len);
            let text =
                format!("the recorded relay sent {} {} to {to}; the replayed one does not", what.name, what.value);
            timeline.difference(row, DifferenceKind::NotReplayed, text);
        }
    }

    /// The id of the live allocation with the number `id`.
    fn allocation_id(&self, id: u64) -> Option<AllocationId> {
        self.server.allocations().map(Allocation::id).find(|found| found.as_u64() == id)
    }
}

/// Whether a server with other secrets, or other static users, may answer this request otherwise. The credentials that an allocation was
/// made with are part of its state, and need no secret.
const fn depends_on_secret(output: &Output) -> bool {
    matches!(
        output,
        Output::Event(Event::Responded {
            outcome: Err(Rejection::NotAuthenticated(
                AuthError::WrongPassword | AuthError::Username(_) | AuthError::Expired { .. }
            )),
            ..
        })
    )
}

impl Expected {
    fn report(self, timeline: &mut Timeline) {
        let what = dissect::dissect_payload(&self.bytes, self.bytes.len());
        let text =
            format!("the replayed relay sends {} {} to {}; the recorded one did not", what.name, what.value, self.to);
        timeline.difference(self.cause, DifferenceKind::NotRecorded, text);
    }
}

/// Describes where two datagrams differ, with the name of the field.
fn describe(recorded: &[u8], recorded_len: usize, replayed: &[u8]) -> String {
    let at = recorded.iter().zip(replayed).position(|(a, b)| a != b).unwrap_or(recorded.len().min(replayed.len()));
    let (left, right) =
        (dissect::dissect_payload(recorded, recorded_len), dissect::dissect_payload(replayed, replayed.len()));
    let show = |field: &crate::Field| {
        // The attribute with the difference, rather than the whole message or the innermost field.
        let part = field.children.iter().find(|child| child.range.contains(&at)).unwrap_or(field);
        format!("{} {}", part.name, part.value)
    };
    format!("byte {at}: the recorded relay sent {}, the replayed one sends {}", show(&left), show(&right))
}
