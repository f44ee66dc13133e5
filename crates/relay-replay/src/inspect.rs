//! Infers a relay's state from its responses, without its configuration.

mod lapse;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque, hash_map::Entry},
    net::{IpAddr, SocketAddr},
};

use packet_trace::{Packet, TraceHeader, UdpPacket};
use relay_server::{DropReason, RemovalReason};

use self::lapse::Timed;
use crate::{Carrier, Change, Kind, Outcome, Role, change::NewAllocation, dissect, timeline::Timeline};

const BINDING: u8 = 1;
const ALLOCATE: u8 = 3;
const REFRESH: u8 = 4;
const SEND: u8 = 6;
const DATA: u8 = 7;
const CREATE_PERMISSION: u8 = 8;
const CHANNEL_BIND: u8 = 9;
/// The lifetime of an allocation whose response has no LIFETIME
/// ([RFC 8656, section 3.2](https://www.rfc-editor.org/rfc/rfc8656#section-3.2)), in seconds.
const DEFAULT_LIFETIME: u32 = 600;
/// The default listening port of TURN servers.
const TURN_PORT: u16 = 3478;
/// How many relayed packets are remembered to find their counterparts.
const RECENT: usize = 256;
/// How many bytes of data are compared. RTP, DTLS and STUN have their sequence numbers in these.
const COMPARED: usize = 20;

#[derive(Debug, Default)]
pub(crate) struct Inspector {
    /// The known listening addresses of the relay.
    listeners: Vec<SocketAddr>,
    requests: HashMap<(SocketAddr, [u8; 12]), Request>,
    /// Allocations by client and server.
    by_pair: BTreeMap<(SocketAddr, SocketAddr), u32>,
    by_relayed: BTreeMap<SocketAddr, u32>,
    /// Permissions that were requested, without a response yet.
    asked: HashSet<(SocketAddr, IpAddr)>,
    /// Expiry times, in nanoseconds since the Unix epoch. Entries may be out of date.
    due: BinaryHeap<Reverse<(u64, u32, Timed)>>,
    recent: VecDeque<Recent>,
}

#[derive(Debug)]
struct Request {
    row: u32,
    method: u8,
    username: String,
    channel: u16,
    peers: Vec<SocketAddr>,
    is_signed: bool,
}

/// Application data that was seen on one side of the relay.
#[derive(Debug)]
struct Recent {
    row: u32,
    from_client: bool,
    len: usize,
    hash: u64,
}

impl Inspector {
    /// An inspector that knows the relay's listening addresses from `header`.
    pub(crate) fn with_header(header: &TraceHeader) -> Self {
        let listeners = header.shards.iter().flat_map(|shard| {
            shard.config.own_addresses.iter().map(|address| SocketAddr::new(*address, shard.config.listen_port))
        });
        Self { listeners: listeners.collect(), ..Self::default() }
    }

    /// An inspector that also knows the allocations that there are.
    pub(crate) fn with_state(mut self, timeline: &Timeline) -> Self {
        for (&number, allocation) in &timeline.view.allocations {
            self.by_pair.insert((allocation.client, allocation.server), number);
            self.by_relayed.extend(allocation.relayed.iter().map(|relayed| (relayed.address, number)));
            let channels = allocation.channels.keys().map(|channel| Timed::Channel(*channel));
            let permissions = allocation.permissions.keys().map(|address| Timed::Permission(*address));
            for timed in channels.chain(permissions).chain([Timed::Allocation]) {
                self.arm(timeline, number, timed);
            }
        }
        self
    }

    /// Forgets requests before row number `row`. Their answers are not recognised any more.
    pub(crate) fn forget_requests(&mut self, row: u32) {
        self.requests.retain(|_, request| request.row >= row);
    }

    pub(crate) fn packet(&mut self, timeline: &mut Timeline, row: u32, packet: &Packet<'_>) {
        self.expire(timeline, row);
        let Ok(udp) = packet.udp() else { return };
        // Expiry may have inserted rows before this one.
        let row = timeline.len().saturating_sub(1);
        let Some(found) = timeline.row(row) else { return };
        let (kind, method, source, destination) = (found.kind, found.method, found.source, found.destination);
        match kind {
            Kind::Request => {
                if method != BINDING || self.is_relay(timeline, destination, udp.destination) {
                    timeline.set_role(destination, Role::Relay);
                    timeline.set_role(source, Role::Client);
                }
                self.request(timeline, row, method, &udp);
            }
            Kind::Success | Kind::Error => self.response(timeline, row, kind, method, &udp),
            Kind::ChannelData => {
                if self.is_relay(timeline, source, udp.source) && !self.is_relay(timeline, destination, udp.destination)
                {
                    timeline.set_role(source, Role::Relay);
                    timeline.set_role(destination, Role::Client);
                    self.channel_data(timeline, row, &udp, false);
                } else {
                    timeline.set_role(destination, Role::Relay);
                    timeline.set_role(source, Role::Client);
                    self.channel_data(timeline, row, &udp, true);
                }
            }
            Kind::Indication if method == SEND => {
                timeline.set_role(destination, Role::Relay);
                timeline.set_role(source, Role::Client);
                self.indication(timeline, row, &udp, true);
            }
            Kind::Indication if method == DATA => {
                timeline.set_role(source, Role::Relay);
                timeline.set_role(destination, Role::Client);
                self.indication(timeline, row, &udp, false);
            }
            Kind::Data => self.data(timeline, row, &udp),
            Kind::Unusable | Kind::Other | Kind::Indication | Kind::Malformed | Kind::Internal => {}
        }
    }

    fn is_relay(&self, timeline: &Timeline, endpoint: u32, address: SocketAddr) -> bool {
        match timeline.endpoints.role(endpoint) {
            Role::Relay => true,
            Role::Unknown => self.listeners.contains(&address) || address.port() == TURN_PORT,
            Role::Client | Role::Relayed | Role::Peer => false,
        }
    }

    fn request(&mut self, timeline: &mut Timeline, row: u32, method: u8, udp: &UdpPacket<'_>) {
        let message = udp.payload;
        let Some(transaction) = transaction(message) else { return };
        let username = dissect::find(message, dissect::USERNAME).unwrap_or_default();
        let channel = dissect::find(message, dissect::CHANNEL_NUMBER).and_then(|value| value.first_chunk().copied());
        let request = Request {
            row,
            method,
            username: String::from_utf8_lossy(username).into_owned(),
            channel: channel.map_or(0, u16::from_be_bytes),
            peers: dissect::addresses(message, dissect::XOR_PEER_ADDRESS).collect(),
            is_signed: dissect::is_signed(message),
        };
        match self.requests.entry((udp.source, transaction)) {
            // A retransmission: the response is related to the first transmission.
            Entry::Occupied(first) => {
                if let Some(found) = timeline.row_mut(row) {
                    found.related = first.get().row;
                }
            }
            Entry::Vacant(entry) => {
                if matches!(method, CREATE_PERMISSION | CHANNEL_BIND) {
                    self.asked.extend(request.peers.iter().map(|peer| (udp.source, peer.ip())));
                }
                entry.insert(request);
            }
        }
    }

    fn response(&mut self, timeline: &mut Timeline, row: u32, kind: Kind, method: u8, udp: &UdpPacket<'_>) {
        let message = udp.payload;
        let Some(transaction) = transaction(message) else { return };
        let Some(request) = self.requests.get(&(udp.destination, transaction)) else { return };
        timeline.relate(request.row, row);
        if request.method != method {
            return;
        }
        for peer in &request.peers {
            self.asked.remove(&(udp.destination, peer.ip()));
        }
        if kind == Kind::Error {
            let code = timeline.row(row).map_or(0, |row| row.argument);
            let outcome = if code == 401 && !request.is_signed { Outcome::Challenged } else { Outcome::Refused(code) };
            if let Some(asked) = timeline.row_mut(request.row)
                && outcome != Outcome::Challenged
            {
                asked.flags.insert(crate::Flags::REJECTED);
            }
            return timeline.change(Change::Responded { method: u16::from(method), outcome });
        }
        timeline.change(Change::Responded { method: u16::from(method), outcome: Outcome::Success });
        let pair = (udp.destination, udp.source);
        match method {
            ALLOCATE => self.created(timeline, udp, request.username.clone()),
            REFRESH => {
                let lifetime = lifetime(message);
                let Some(&allocation) = self.by_pair.get(&pair) else { return };
                if lifetime == 0 {
                    self.removed(timeline, allocation, RemovalReason::Deleted);
                } else {
                    timeline.change(Change::Refreshed { allocation, lifetime, family: None });
                    self.arm(timeline, allocation, Timed::Allocation);
                }
            }
            CREATE_PERMISSION => {
                let (Some(&allocation), peers) = (self.by_pair.get(&pair), request.peers.clone()) else { return };
                self.permit(timeline, allocation, &peers);
            }
            CHANNEL_BIND => {
                let (Some(&allocation), Some(&peer)) = (self.by_pair.get(&pair), request.peers.first()) else { return };
                let channel = request.channel;
                // A channel also installs a permission: https://www.rfc-editor.org/rfc/rfc8656#section-9
                self.permit(timeline, allocation, &[peer]);
                let known = timeline.view.allocations.get(&allocation);
                let renewal = known.is_some_and(|allocation| allocation.channels.contains_key(&channel));
                timeline.change(Change::ChannelBound { allocation, channel, peer, renewal });
                self.arm(timeline, allocation, Timed::Channel(channel));
            }
            _ => {}
        }
    }

    fn permit(&mut self, timeline: &mut Timeline, allocation: u32, peers: &[SocketAddr]) {
        let addresses: BTreeSet<_> = peers.iter().map(SocketAddr::ip).filter(|_| !timeline.channels_only).collect();
        for address in addresses {
            let known = timeline.view.allocations.get(&allocation);
            let renewal = known.is_some_and(|allocation| allocation.permissions.contains_key(&address));
            timeline.change(Change::PermissionInstalled { allocation, address, renewal });
            self.arm(timeline, allocation, Timed::Permission(address));
        }
    }

    fn created(&mut self, timeline: &mut Timeline, udp: &UdpPacket<'_>, username: String) {
        let relayed: Vec<_> = dissect::addresses(udp.payload, dissect::XOR_RELAYED_ADDRESS).collect();
        let (client, server) = (udp.destination, udp.source);
        if let Some(&old) = self.by_pair.get(&(client, server)) {
            let same = timeline.view.allocations.get(&old).is_some_and(|allocation| {
                allocation.relayed.iter().map(|relayed| relayed.address).eq(relayed.iter().copied())
            });
            if same {
                return;
            }
            self.removed(timeline, old, RemovalReason::Replaced);
        }
        let number = timeline.next_allocation();
        for address in &relayed {
            let endpoint = timeline.endpoints.note(*address);
            timeline.set_role(endpoint, Role::Relayed);
            self.by_relayed.insert(*address, number);
        }
        self.by_pair.insert((client, server), number);
        let lifetime = lifetime(udp.payload);
        let new = NewAllocation { number, shard: 0, id: 0, client, server, username, relayed, lifetime };
        timeline.change(Change::Created(new.into()));
        self.arm(timeline, number, Timed::Allocation);
    }

    fn removed(&mut self, timeline: &mut Timeline, allocation: u32, reason: RemovalReason) {
        self.by_pair.retain(|_, number| *number != allocation);
        self.by_relayed.retain(|_, number| *number != allocation);
        timeline.change(Change::Removed { allocation, reason });
    }

    fn channel_data(&mut self, timeline: &mut Timeline, row: u32, udp: &UdpPacket<'_>, from_client: bool) {
        let pair = if from_client { (udp.source, udp.destination) } else { (udp.destination, udp.source) };
        let channel = timeline.row(row).map_or(0, |row| row.argument);
        let allocation = self.by_pair.get(&pair).copied();
        let data = udp.payload.get(4..).unwrap_or_default();
        let length = udp.payload.get(2..4).map_or(0, |two| u16::from_be_bytes([two[0], two[1]]));
        let data = &data[..data.len().min(usize::from(length))];
        self.correlate(timeline, row, data, usize::from(length), from_client);
        if from_client {
            let carrier = Carrier::Channel(channel);
            timeline.change(Change::Relayed {
                allocation,
                carrier,
                bytes: u32::from(length),
                from_client,
                crossed_to: None,
            });
        }
    }

    fn indication(&mut self, timeline: &mut Timeline, row: u32, udp: &UdpPacket<'_>, from_client: bool) {
        let (client, server) = if from_client { (udp.source, udp.destination) } else { (udp.destination, udp.source) };
        let allocation = self.by_pair.get(&(client, server)).copied();
        let Some(peer) = dissect::peer(udp.payload) else { return };
        let Some((data, length)) = dissect::find_cut(udp.payload, dissect::DATA) else { return };
        if from_client && let Some(reason) = self.why_dropped(timeline, allocation, client, peer) {
            return timeline.change(Change::Dropped { reason });
        }
        self.correlate(timeline, row, data, length, from_client);
        if from_client {
            let (carrier, bytes) = (Carrier::Indication(peer), u32::try_from(length).unwrap_or(u32::MAX));
            timeline.change(Change::Relayed { allocation, carrier, bytes, from_client, crossed_to: None });
        }
    }

    /// Why any server has to drop data of `client` to `peer`, as far as the capture shows.
    fn why_dropped(
        &self,
        timeline: &Timeline,
        allocation: Option<u32>,
        client: SocketAddr,
        peer: SocketAddr,
    ) -> Option<DropReason> {
        if timeline.channels_only {
            return Some(DropReason::SendIndication);
        }
        let allocation = timeline.view.allocations.get(&allocation?)?;
        // Clients may send data before they have the response.
        let is_asked = self.asked.contains(&(client, peer.ip()));
        (!is_asked && !allocation.permissions.contains_key(&peer.ip())).then_some(DropReason::NoPermission)
    }

    fn data(&mut self, timeline: &mut Timeline, row: u32, udp: &UdpPacket<'_>) {
        let (relayed, peer, from_client) = match self.by_relayed.get(&udp.source) {
            Some(number) => (*number, udp.destination, true),
            None => match self.by_relayed.get(&udp.destination) {
                Some(number) => (*number, udp.source, false),
                None => return,
            },
        };
        let Some(found) = timeline.row(row) else { return };
        let remote = if from_client { found.destination } else { found.source };
        timeline.set_role(remote, Role::Peer);
        self.correlate(timeline, row, udp.payload, udp.payload_len, from_client);
        if !from_client {
            let Some(allocation) = timeline.view.allocations.get(&relayed) else { return };
            let bound = allocation.channels.iter().find(|(_, channel)| channel.bound && channel.peer == peer);
            let carrier = match bound {
                Some((&channel, _)) => Carrier::Channel(channel),
                None if allocation.permissions.contains_key(&peer.ip()) => Carrier::Indication(peer),
                None => return,
            };
            let bytes = u32::try_from(udp.payload_len).unwrap_or(u32::MAX);
            timeline.change(Change::Relayed {
                allocation: Some(relayed),
                carrier,
                bytes,
                from_client,
                crossed_to: None,
            });
        }
    }

    /// Relates the two packets of relayed data by their content.
    fn correlate(&mut self, timeline: &mut Timeline, row: u32, data: &[u8], len: usize, from_client: bool) {
        // A capture may truncate packets, and the two packets at different positions of the data.
        let hash = fnv(&data[..data.len().min(COMPARED)]);
        let same = |recent: &Recent| recent.from_client == from_client && recent.len == len && recent.hash == hash;
        if let Some(other) = self.recent.iter().position(same).and_then(|position| self.recent.remove(position)) {
            timeline.relate(other.row, row);
            return;
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(Recent { row, from_client, len, hash });
    }
}

fn transaction(message: &[u8]) -> Option<[u8; 12]> {
    message.get(8..)?.first_chunk().copied()
}

fn lifetime(message: &[u8]) -> u32 {
    let value = dissect::find(message, dissect::LIFETIME).and_then(|value| value.first_chunk().copied());
    value.map_or(DEFAULT_LIFETIME, u32::from_be_bytes)
}

/// FNV-1a: good enough to distinguish packets of equal length that are close together.
fn fnv(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
