//! A simulated client, which behaves like real ones: it allocates, refreshes, binds, permits, sends, answers challenges, retries
//! after an error, and starts again when its allocation is gone.
//!
//! "Owed" means guaranteed here: unless the simulation has interfered, the relay must keep an owed allocation, and relay owed data.

mod answers;
mod data;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::{Rng as _, RngCore as _};
use rand_chacha::ChaCha8Rng;
use relay_server::Timestamp;
use turn_client::{
    Allocate, Allocated, Answer, Credentials, Failure, Family, Received, Request, RequestId, Success, TurnClient,
    decode_data_indication, encode_send_indication,
};

use super::{
    clock::timestamp,
    packet::{Packet, in_channel},
    plan::Setting,
};

/// How long to wait for a probe, unless a stalled worker delays it.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);

/// The lifetimes of channels and permissions in RFC 8656.
const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);
const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);

/// The current time on all clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) time: Timestamp,
    /// The relay's clock. Clients do not know it, but what they are owed depends on it.
    pub(super) relay: Timestamp,
    pub(super) instant: Instant,
}

/// The habits of a client.
#[derive(Clone, Copy, Debug)]
struct Style {
    lifetime: Option<Duration>,
    uses_channels: bool,
    uses_indications: bool,
    /// Whether it sends data right behind the request that permits it.
    is_hasty: bool,
    /// Whether the relay refuses all requests with expired credentials.
    is_strict: bool,
    /// Whether it always renews channels and permissions in time, or lets some lapse.
    is_diligent: bool,
}

/// The purpose of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Allocate,
    Refresh,
    Delete,
    Bind(SocketAddr),
    Permit(SocketAddr),
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    purpose: Purpose,
    /// When it was first sent, by the relay's clock. What it grants begins no earlier.
    at: Timestamp,
    /// How many datagrams were sent for it.
    transmissions: u32,
}

/// An allocation of a client.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) relayed: Vec<SocketAddr>,
    /// How long the client is owed it, by the relay's clock.
    until: Timestamp,
    refresh_at: Timestamp,
    delete_at: Timestamp,
    /// Whether the client is owed it. False after anything that may end it.
    pub(super) is_sure: bool,
}

/// An address that a client exchanges data with.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// The client whose relayed address it is, if it is one.
    pub(super) partner: Option<usize>,
    channel: u16,
    /// Until when the channel is bound, by the relay's clock.
    bound_until: Timestamp,
    permitted_until: Timestamp,
    bind_at: Timestamp,
    permit_at: Timestamp,
}

/// What a client needs from the rest of the simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// It has an allocation, and needs somebody to exchange data with.
    Targets,
    /// It has reserved a port for another client of the same user. The token.
    Reserved(u64),
    /// It starts again, and needs an address and credentials.
    Rebirth,
    /// A request with a probe right behind it was granted at the first transmission, or not.
    Granted(RequestId, bool),
    /// It requests an allocation, which may replace others of its user.
    Allocating,
}

/// A simulated client.
pub(super) struct Client {
    pub(super) number: usize,
    pub(super) user: usize,
    pub(super) address: SocketAddr,
    /// The relay's listening address.
    pub(super) server: SocketAddr,
    /// How often it has started, as in a new process each time.
    pub(super) life: u64,
    turn: TurnClient,
    rng: ChaCha8Rng,
    style: Style,
    pub(super) held: Option<Held>,
    asked: BTreeMap<RequestId, Asked>,
    pub(super) targets: Vec<Target>,
    /// The channel number of each address so far: number and address stay reserved for each other.
    channels: BTreeMap<SocketAddr, u16>,
    first_channel: u16,
    pub(super) ask_at: Timestamp,
    probe_at: Timestamp,
    /// How many probes in a row were lost.
    misses: u32,
    token: Option<u64>,
    /// Whether an allocation in the next response may be gone already.
    doubts_answer: bool,
    pub(super) wishes: Vec<Wish>,
}

const NEVER: Timestamp = Timestamp::from_nanos(u64::MAX);

impl Client {
    pub(super) fn new(number: usize, user: usize, mut rng: ChaCha8Rng, setting: &Setting) -> Self {
        let (kind, can_indicate) = (rng.random_range(0..4), setting.indications);
        let style = Style {
            lifetime: [None, Some(Duration::from_secs(900)), Some(Duration::from_secs(3_600))][rng.random_range(0..3)],
            uses_channels: kind > 0 || !can_indicate,
            uses_indications: kind < 2 && can_indicate,
            is_hasty: rng.random_bool(0.5),
            is_strict: setting.strict_expiry,
            is_diligent: rng.random_bool(0.8),
        };
        let nobody: SocketAddr = ([0, 0, 0, 0], 0).into();
        Self {
            number,
            user,
            address: nobody,
            server: nobody,
            life: 0,
            turn: TurnClient::new(Credentials::new("", ""), 0),
            rng,
            style,
            held: None,
            asked: BTreeMap::new(),
            targets: Vec::new(),
            channels: BTreeMap::new(),
            first_channel: 0x4000,
            ask_at: NEVER,
            probe_at: NEVER,
            misses: 0,
            token: None,
            doubts_answer: false,
            wishes: Vec::new(),
        }
    }

    /// Starts again, without any state of the last life.
    pub(super) fn begin(&mut self, at: Timestamp, address: SocketAddr, server: SocketAddr, credentials: Credentials) {
        (self.address, self.server) = (address, server);
        self.life += 1;
        self.turn = TurnClient::new(credentials, self.rng.next_u64());
        self.held = None;
        self.asked.clear();
        self.targets.clear();
        self.channels.clear();
        self.first_channel = 0x4000 + self.rng.random_range(0..8) * 16;
        self.ask_at = at;
        self.misses = 0;
        self.token = None;
    }

    /// Redeems the reservation `token` with the next Allocate request.
    pub(super) const fn use_token(&mut self, token: u64) {
        self.token = Some(token);
    }

    /// Ends the guarantee for the client's allocation, and for one that a response under way may grant.
    pub(super) fn doubt(&mut self) {
        self.doubts_answer = true;
        if let Some(held) = &mut self.held {
            held.is_sure = false;
        }
    }

    /// Whether the client is owed its allocation for at least `margin` from `now`.
    pub(super) fn is_sure(&self, now: Now, margin: Duration) -> bool {
        self.held.as_ref().is_some_and(|held| held.is_sure && held.until > now.relay + margin)
    }

    /// Whether the client is owed data to and from `peer`, in a channel or in indications.
    pub(super) fn is_owed(&self, now: Now, peer: SocketAddr, by_channel: bool) -> bool {
        let until = now.relay + PATIENCE;
        self.is_sure(now, PATIENCE)
            && self.targets.iter().any(|target| {
                let is_bound = target.address == peer && target.bound_until > until;
                let is_permitted = target.address.ip() == peer.ip() && target.permitted_until > until;
                if by_channel { is_bound } else { is_permitted }
            })
    }

    /// Begins to exchange data with `address`.
    pub(super) fn add_target(&mut self, now: Now, address: SocketAddr, partner: Option<usize>) {
        if self.targets.iter().any(|target| target.address == address) {
            return;
        }
        let next = self.first_channel + u16::try_from(self.channels.len()).unwrap_or(0);
        let (channel, zero) = (*self.channels.entry(address).or_insert(next), Timestamp::ZERO);
        let at = now.time + self.rng.random_range(Duration::ZERO..Duration::from_secs(2));
        self.targets.push(Target {
            address,
            partner,
            channel,
            bound_until: zero,
            permitted_until: zero,
            bind_at: if self.style.uses_channels { at } else { NEVER },
            permit_at: if self.style.uses_indications { at } else { NEVER },
        });
    }

    /// When to call [`Self::wake`].
    pub(super) fn wake_at(&self, origin: Instant) -> Timestamp {
        let of_turn = self.turn.poll_timeout().map_or(NEVER, |due| timestamp(due, origin));
        let own = match &self.held {
            None => {
                if self.is_asking(|purpose| purpose == Purpose::Allocate) {
                    NEVER
                } else {
                    self.ask_at
                }
            }
            Some(held) => {
                let targets = self.targets.iter().map(|target| target.bind_at.min(target.permit_at));
                held.refresh_at.min(held.delete_at).min(self.probe_at).min(targets.min().unwrap_or(NEVER))
            }
        };
        of_turn.min(own)
    }

    /// Does what is due. Returns trains of datagrams to send; those of one train follow each other directly.
    pub(super) fn wake(&mut self, now: Now, pace: Duration, begin: &mut Begin<'_>) -> Vec<Vec<Packet>> {
        self.turn.handle_timeout(now.instant);
        self.take_answers(now);
        match &self.held {
            None if self.ask_at <= now.time && !self.is_asking(|purpose| purpose == Purpose::Allocate) => {
                self.allocate(now);
            }
            None => {}
            Some(held) if held.delete_at <= now.time => {
                self.ask(now, Purpose::Delete, Request::Refresh { lifetime: Some(Duration::ZERO) });
                if let Some(held) = &mut self.held {
                    (held.is_sure, held.delete_at, held.refresh_at) = (false, NEVER, NEVER);
                }
            }
            Some(held) => {
                if held.refresh_at <= now.time {
                    self.ask(now, Purpose::Refresh, Request::Refresh { lifetime: self.style.lifetime });
                    if let Some(held) = &mut self.held {
                        held.refresh_at = NEVER;
                    }
                }
                self.renew_targets(now);
            }
        }
        let mut trains = self.transmit(begin, now);
        if self.held.is_some() && self.probe_at <= now.time {
            self.probe_at = now.time + self.rng.random_range(pace / 4..pace * 2);
            trains.extend(self.probe(now, begin));
        }
        trains
    }

    fn is_asking(&self, what: impl Fn(Purpose) -> bool) -> bool {
        self.asked.values().any(|asked| what(asked.purpose))
    }

    fn ask(&mut self, now: Now, purpose: Purpose, request: Request) {
        let id = self.turn.request(now.instant, request);
        self.asked.insert(id, Asked { purpose, at: now.relay, transmissions: 0 });
    }

    fn allocate(&mut self, now: Now) {
        let mut allocate = Allocate { lifetime: self.style.lifetime, ..Allocate::default() };
        if let Some(token) = self.token.take() {
            allocate.reservation_token = Some(token);
        } else {
            match self.rng.random_range(0..10) {
                0 => allocate.family = Some(Family::V6),
                1 | 2 => allocate.additional_family = Some(Family::V6),
                3 => allocate.even_port = Some(false),
                4 | 5 => allocate.even_port = Some(true),
                _ => {}
            }
        }
        self.doubts_answer = false;
        self.wishes.push(Wish::Allocating);
        self.ask(now, Purpose::Allocate, Request::Allocate(allocate));
    }

    fn renew_targets(&mut self, now: Now) {
        let mut requests = Vec::new();
        for target in &mut self.targets {
            if target.bind_at <= now.time {
                target.bind_at = NEVER;
                let request = Request::ChannelBind { channel: target.channel, peer: target.address };
                requests.push((Purpose::Bind(target.address), request));
            }
            if target.permit_at <= now.time {
                target.permit_at = NEVER;
                let request = Request::CreatePermission { peers: vec![target.address] };
                requests.push((Purpose::Permit(target.address), request));
            }
        }
        for (purpose, request) in requests {
            self.ask(now, purpose, request);
        }
    }

    /// Sends requests. A hasty client sends data right behind the first transmission of a request that permits it.
    fn transmit(&mut self, begin: &mut Begin<'_>, now: Now) -> Vec<Vec<Packet>> {
        let mut trains = Vec::new();
        let was_asking = self.asked.values().any(|asked| asked.transmissions > 0);
        while let Some(bytes) = self.turn.poll_transmit() {
            let mut train = vec![self.packet(bytes)];
            // With several requests it is unknown which one a datagram is for.
            self.asked.values_mut().for_each(|asked| asked.transmissions += 1);
            let newest = self.asked.iter().next_back().map(|(id, asked)| (*id, asked.purpose, asked.transmissions));
            let is_only_one = !was_asking && self.asked.len() == 1;
            if let Some((id, Purpose::Bind(peer), 1)) = newest
                && is_only_one
                && self.style.is_hasty
                && let Some(target) = self.targets.iter().find(|target| target.address == peer)
                && target.partner.is_none()
            {
                let (channel, is_owed) = (target.channel, self.is_sure(now, PATIENCE));
                let payload = begin(self, peer, is_owed, Some(id));
                train.push(self.packet(in_channel(channel, &payload)));
            }
            trains.push(train);
        }
        trains
    }

    /// Handles a datagram. Returns the application data in it, if there is any, and its sender.
    pub(super) fn receive(&mut self, now: Now, bytes: &[u8]) -> Option<(SocketAddr, Vec<u8>)> {
        match self.turn.handle_datagram(now.instant, bytes) {
            Received::Data { channel, payload } => {
                let target = self.targets.iter().find(|target| target.channel == channel)?;
                Some((target.address, payload.to_vec()))
            }
            Received::Response => {
                self.take_answers(now);
                None
            }
            Received::Ignored => decode_data_indication(bytes),
        }
    }

    /// Handles the end of a probe.
    pub(super) fn note_probe(&mut self, now: Now, life: u64, has_returned: bool) {
        if life != self.life {
            return;
        }
        self.misses = if has_returned { 0 } else { self.misses + 1 };
        // After this many losses ICE would declare failure. The client starts again.
        if self.misses > 5 && self.held.is_some() && !self.is_sure(now, Duration::ZERO) {
            self.wishes.push(Wish::Rebirth);
        }
    }
}

/// Begins a probe: the client, the destination, whether it is owed, and the request that it follows, if any. Returns the payload.
pub(super) type Begin<'a> = dyn FnMut(&mut Client, SocketAddr, bool, Option<RequestId>) -> Vec<u8> + 'a;
