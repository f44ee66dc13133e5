//! The simulated world: the relay, clients, peers, and time.

mod clients;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use relay_server::{AcceptedCredentials, AuthSecret, Family, Scheme, Schemes, Timestamp, UsernameLimit};
use turn_auth::UnixTime;

use super::{
    client::{Client, Now, PATIENCE, Wish},
    clock::SimulatedClock,
    kernel::lock,
    links::Links,
    packet::{Packet, Payload, describe},
    plan::{Plan, Setting},
    probes::Probes,
    relay::Relay,
};
use crate::clock::Clock;

/// The time at the start: a machine's monotonic clock may have run for long.
const START: Timestamp = Timestamp::from_secs(1_000);
const START_UNIX: u64 = 1_900_000_000;

/// The longest time from a datagram's arrival to the worker's turn.
const WAKE_UP: Duration = Duration::from_micros(200);

/// How many of the last events are kept for a report.
const TOLD: usize = 60;

/// How long a request for an allocation may still have an effect, even if its client has given up.
const ALLOCATING: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
enum Event {
    AtRelay(Packet),
    /// From the relay's machine to itself, which the kernel path does not see.
    AtRelayFromWithin(Packet),
    AtHost(Packet),
    Turn(usize),
    Wake(usize),
    ProbeEnds(u64),
}

/// The state of the whole simulation.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) setting: Rc<Setting>,
    pub(super) now: Timestamp,
    origin: Instant,
    /// How far the relay's monotonic clock is ahead of all others.
    pub(super) ahead: Duration,
    /// How far the relay's wall clock is ahead, in seconds; may be negative.
    pub(super) wall_ahead: i64,
    events: BTreeMap<(Timestamp, u64), Event>,
    next_event: u64,
    pub(super) relay: Relay,
    pub(super) links: Links,
    pub(super) clients: Vec<Client>,
    /// When each client wakes next.
    wakes: Vec<Option<Timestamp>>,
    pub(super) probes: Probes,
    /// Peers that return what they receive.
    peers: BTreeSet<SocketAddr>,
    /// The secrets that the relay accepts, newest first.
    pub(super) secrets: Vec<AuthSecret>,
    /// How often the relay was started.
    starts: u64,
    /// The average time between two probes of a client.
    pace: Duration,
    next_port: u16,
    /// Recent Allocate requests that may replace another allocation: the time, the user, and the client with its life.
    allocating: VecDeque<(Timestamp, usize, (usize, u64))>,
    /// When a worker last stalled.
    pub(super) last_stall: Timestamp,
    /// A hash of all sent datagrams: the same for each run of a plan.
    pub(super) fingerprint: u64,
    pub(super) steps: u64,
    pub(super) turns: u64,
    pub(super) rng: ChaCha8Rng,
    /// The last datagram of a client, for strangers to copy.
    pub(super) overheard: Option<Packet>,
    told: VecDeque<String>,
    /// Whether to record events.
    tells: bool,
}

impl World {
    pub(super) fn new(plan: Plan, tells: bool) -> Self {
        let setting = Rc::new(Setting::new(&plan));
        let mut rng = plan.rng(1);
        let clock = SimulatedClock::new(START, UnixTime(START_UNIX));
        let secret = AuthSecret::from_random(rng.random());
        let accepted = AcceptedCredentials::of_secret(Schemes::Only(Scheme::Firezone), secret.clone());
        let times = (START, UnixTime(START_UNIX));
        let relay = Relay::start(&setting, clock, Arc::new(accepted), times, plan.rng(2));
        let client = |number: usize| {
            let user = number % setting.users;
            Client::new(number, user, plan.rng(1_000 + number as u64), &setting)
        };
        let mut world = Self {
            plan,
            now: START,
            origin: Clock::start().origin(),
            ahead: Duration::ZERO,
            wall_ahead: 0,
            events: BTreeMap::new(),
            next_event: 0,
            relay,
            links: Links::new(&setting, plan.rng(3)),
            clients: (0..setting.clients).map(client).collect(),
            wakes: vec![None; setting.clients],
            probes: Probes::default(),
            peers: BTreeSet::new(),
            secrets: vec![secret],
            starts: 0,
            pace: Duration::from_secs(1),
            next_port: 20_000,
            allocating: VecDeque::new(),
            last_stall: Timestamp::ZERO,
            fingerprint: 0xCBF2_9CE4_8422_2325,
            steps: 0,
            turns: 0,
            rng,
            overheard: None,
            told: VecDeque::new(),
            tells,
            setting,
        };
        for number in 0..4 {
            world.peers.insert(SocketAddr::new(Ipv4Addr::new(90, 2, 0, number / 2).into(), 7_000 + u16::from(number)));
            let v6 = Ipv6Addr::new(0x2a02, 0x26f0, 0, 0, 0, 0, 0, u16::from(number / 2));
            world.peers.insert(SocketAddr::new(v6.into(), 7_000 + u16::from(number)));
        }
        for number in 0..world.clients.len() {
            let at = world.now + world.rng.random_range(Duration::ZERO..Duration::from_secs(3));
            world.begin_life(number, at);
        }
        for worker in 0..world.relay.shards.len() {
            world.plan_turn(worker);
        }
        world
    }

    pub(super) fn times(&self) -> Now {
        let since = Duration::from_nanos(self.now.as_nanos());
        Now { time: self.now, relay: self.now + self.ahead, instant: self.origin + since }
    }

    /// The simulated time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.now.saturating_duration_since(START)
    }

    /// The last events.
    pub(super) fn told(&self) -> impl Iterator<Item = &String> {
        self.told.iter()
    }

    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.tells {
            if self.told.len() == TOLD {
                self.told.pop_front();
            }
            let since = self.now.saturating_duration_since(START);
            self.told.push_back(format!("{:>12.6} {}", since.as_secs_f64(), what()));
        }
    }

    /// Runs the next event.
    pub(super) fn step(&mut self) {
        let Some(((at, _), event)) = self.events.pop_first() else { return };
        self.now = self.now.max(at);
        self.set_clock();
        match event {
            Event::Turn(worker) => return self.turn(worker, at),
            Event::AtRelay(packet) => self.at_relay(packet),
            Event::AtRelayFromWithin(packet) => self.at_socket(packet),
            Event::AtHost(packet) => self.at_host(packet),
            Event::Wake(client) if self.wakes[client] != Some(at) => return,
            Event::Wake(client) => {
                self.wakes[client] = None;
                self.wake(client);
            }
            Event::ProbeEnds(number) => self.end_probe(number),
        }
        self.steps += 1;
        self.maybe_inject();
        // Times of much traffic alternate with times in which little happens but expiry.
        if self.steps.is_multiple_of(400) {
            let millis = [100, 300, 2_000, 30_000, 90_000][self.rng.random_range(0..5)];
            self.pace = Duration::from_millis(millis);
        }
    }

    pub(super) fn set_clock(&mut self) {
        let unix = START_UNIX + self.now.saturating_duration_since(START).as_secs();
        self.relay.clock.set(self.now + self.ahead, UnixTime(unix.saturating_add_signed(self.wall_ahead)));
    }

    /// A random generator for the next start of the relay.
    pub(super) fn relay_rng(&mut self) -> ChaCha8Rng {
        self.starts += 1;
        self.plan.rng(100_000 + self.starts)
    }

    fn schedule(&mut self, at: Timestamp, event: Event) {
        self.events.insert((at, self.next_event), event);
        self.next_event += 1;
    }

    // The relay.

    fn turn(&mut self, worker: usize, at: Timestamp) {
        if self.relay.shards[worker].turn_at != Some(at) {
            return;
        }
        self.relay.shards[worker].turn_at = None;
        self.turns += 1;
        let before = self.tells.then(|| self.relay.counters(worker));
        self.relay.turn(self.now + self.ahead, worker);
        if let Some(before) = before {
            let after = self.relay.counters(worker);
            for (loss, count) in after.losses {
                if before.losses.get(&loss) != Some(&count) {
                    self.tell(|| format!("worker {worker} drops: {loss}"));
                }
            }
        }
        self.carry();
        self.check_turn(worker);
        for other in 0..self.relay.shards.len() {
            self.plan_turn(other);
        }
    }

    /// Schedules a worker's next turn.
    pub(super) fn plan_turn(&mut self, worker: usize) {
        let (ahead, now) = (self.ahead, self.now);
        let due = self.relay.shards[worker].event_loop.next_turn();
        let due = self.relay.mail_due(worker).map_or(due, |mail| mail.min(due));
        self.turn_at(worker, now + due.saturating_duration_since(now + ahead));
    }

    fn turn_at(&mut self, worker: usize, at: Timestamp) {
        let shard = &mut self.relay.shards[worker];
        let at = at.max(shard.stalled_until);
        if shard.turn_at.is_none_or(|planned| at < planned || planned < shard.stalled_until) {
            shard.turn_at = Some(at);
            self.schedule(at, Event::Turn(worker));
        }
    }

    pub(super) fn turn_soon(&mut self, worker: usize) {
        let at = self.now + self.rng.random_range(Duration::ZERO..WAKE_UP);
        self.turn_at(worker, at);
    }

    /// Delivers the datagrams that the machine's sockets have sent.
    pub(super) fn carry(&mut self) {
        let sent = std::mem::take(&mut self.relay.machine.borrow_mut().sent);
        for packet in sent {
            self.leave_relay(packet);
        }
    }

    fn leave_relay(&mut self, mut packet: Packet) {
        self.tell(|| format!("relay sends {}", describe(&packet)));
        let family = Family::of(packet.to.ip());
        let Some(public) = self.setting.public().of(family) else { return self.probes.lose(&packet) };
        if packet.to.ip() == self.setting.local(public) {
            let at = self.now + Duration::from_micros(20);
            return self.schedule(at, Event::AtRelayFromWithin(packet));
        }
        packet.from.set_ip(self.setting.public_of(packet.from.ip()));
        // A NAT returns no packet that comes from inside.
        if packet.to.ip() == public {
            return self.probes.lose(&packet);
        }
        self.send(vec![packet], false);
    }

    fn at_relay(&mut self, mut packet: Packet) {
        packet.to.set_ip(self.setting.local(packet.to.ip()));
        let forwarded = lock(&self.relay.kernel).forward(&self.setting, packet);
        match forwarded {
            Ok(forwarded) => self.leave_relay(forwarded),
            Err(packet) => self.at_socket(packet),
        }
    }

    fn at_socket(&mut self, packet: Packet) {
        match self.relay.arrive(packet) {
            Ok(worker) => self.turn_soon(worker),
            Err(packet) => {
                self.tell(|| format!("no socket for {}", describe(&packet)));
                // The socket is closed or its queue is full. The socket of an owed allocation is open.
                if packet.to.port() == Setting::LISTEN_PORT || self.relay.worker_of(&packet).is_some() {
                    self.probes.lose(&packet);
                }
            }
        }
    }

    // The network.

    /// Sends datagrams one right behind the other. They are lost or delayed together.
    pub(super) fn send(&mut self, train: Vec<Packet>, to_relay: bool) {
        let Some(first) = train.first() else { return };
        let remote = if to_relay { first.from } else { first.to };
        let copies = self.links.copies(remote);
        for packet in &train {
            self.note(packet);
            match copies.len() {
                0 => {
                    self.tell(|| format!("lost {}", describe(packet)));
                    self.probes.lose(packet);
                }
                1 => {}
                _ => self.probes.duplicate(packet),
            }
        }
        for delay in copies {
            for packet in &train {
                let packet = packet.clone();
                let event = if to_relay { Event::AtRelay(packet) } else { Event::AtHost(packet) };
                self.schedule(self.now + delay, event);
            }
        }
    }

    fn note(&mut self, packet: &Packet) {
        let numbers = [self.now.as_nanos(), u64::from(packet.from.port()), u64::from(packet.to.port())];
        let bytes = packet.bytes.iter().map(|byte| u64::from(*byte));
        for number in numbers.into_iter().chain(bytes) {
            self.fingerprint = (self.fingerprint ^ number).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }

    fn at_host(&mut self, packet: Packet) {
        let now = self.times();
        if self.peers.contains(&packet.to) {
            if let Some(payload) = Payload::find(&packet.bytes).filter(|payload| !payload.is_answer) {
                let bytes = Payload { is_answer: true, ..payload }.write(packet.bytes.len());
                self.send(vec![Packet { from: packet.to, to: packet.from, bytes }], true);
            }
            return;
        }
        let Some(number) = self.clients.iter().position(|client| client.address == packet.to) else {
            return self.probes.lose(&packet);
        };
        self.tell(|| format!("client {number} receives {}", describe(&packet)));
        let client = &mut self.clients[number];
        let data = client.receive(now, &packet.bytes);
        match data {
            None => {
                if Payload::find(&packet.bytes).is_some() {
                    // In a channel that this client had before it started again.
                    self.probes.lose(&packet);
                }
            }
            Some((peer, bytes)) => self.at_client(number, peer, &packet, &bytes),
        }
        self.grant_wishes(number);
        self.plan_wake(number);
    }

    /// Handles application data at a client.
    fn at_client(&mut self, number: usize, peer: SocketAddr, packet: &Packet, bytes: &[u8]) {
        let Some(payload) = Payload::find(bytes) else { return };
        if payload.is_answer {
            let Some(probe) = self.probes.get(payload.probe).copied() else { return };
            let client = &self.clients[number];
            // Ports are reused, so data may reach a client that has not sent the probe.
            if (probe.client, probe.life) == (number, client.life) {
                assert_eq!(probe.to, peer, "client {number} hears of {peer} what it had sent elsewhere");
                self.probes.come_back(payload.probe);
            }
            return;
        }
        let bytes = Payload { is_answer: true, ..payload }.write(bytes.len());
        match self.clients[number].answer(peer, &bytes) {
            Some(answer) => self.send(vec![answer], true),
            None => self.probes.lose(packet),
        }
    }
}
