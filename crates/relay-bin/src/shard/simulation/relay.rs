//! The simulated relay: workers built as in `shard::run`, on a simulated machine.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{Rng as _, RngCore as _};
use rand_chacha::ChaCha8Rng;
use relay_server::{AcceptedCredentials, AddressStatus, Config, Family, PortRange, Server, ShardId, Timestamp};
use turn_auth::UnixTime;

use super::{
    clock::SimulatedClock,
    kernel::{Kernel, SharedKernel, SimulatedOffload, lock},
    packet::Packet,
    plan::Setting,
    sockets::{Machine, SimulatedSockets},
};
use crate::{
    accounting::Books,
    offload::Offload,
    record::RecordedServer,
    shard::{
        address_map::HeldPorts,
        driver::Driver,
        event_loop::EventLoop,
        mailbox::{Mail, Mailbox, Sender},
        poller::{Poller, Source},
        pulse::Pulse,
        restart::{Blueprint, Known},
        shared_quota::SharedQuota,
        stats::{Counters, Published},
    },
};

/// A worker.
pub(super) struct Shard {
    pub(super) event_loop: EventLoop<SimulatedSockets, SimulatedClock>,
    published: Published,
    inbox: Sender,
    /// The mailboxes for what it sends to each other worker.
    outboxes: Vec<(usize, Mailbox)>,
    /// The sockets that became readable since the last turn.
    arrived: Vec<Source>,
    /// When its next turn is scheduled.
    pub(super) turn_at: Option<Timestamp>,
    pub(super) stalled_until: Timestamp,
    blueprint: Blueprint,
    /// How often it has begun anew.
    lives: u64,
}

/// The relay and its machine.
pub(super) struct Relay {
    setting: Rc<Setting>,
    pub(super) clock: SimulatedClock,
    pub(super) shards: Vec<Shard>,
    pub(super) kernel: SharedKernel,
    pub(super) machine: Rc<RefCell<Machine>>,
    pub(super) held: HeldPorts,
    pub(super) quota: SharedQuota,
    pub(super) books: Books,
    /// Undelivered mail by sender and receiver, with the time of delivery.
    mail: BTreeMap<(usize, usize), VecDeque<(Timestamp, Mail)>>,
    pub(super) is_draining: bool,
    rng: ChaCha8Rng,
}

/// The sender of mail that comes from no worker.
const OUTSIDE: usize = usize::MAX;

impl Relay {
    /// Starts a relay.
    pub(super) fn start(
        setting: &Rc<Setting>,
        clock: SimulatedClock,
        accepted: Arc<AcceptedCredentials>,
        times: (Timestamp, UnixTime),
        mut rng: ChaCha8Rng,
    ) -> Self {
        let addresses = setting.addresses(AddressStatus::Present);
        let machine = Rc::new(RefCell::new(Machine::default()));
        let kernel = Arc::new(Mutex::new(Kernel::new(setting.flows)));
        let (held, quota) = (HeldPorts::new(), SharedQuota::default());
        let count = usize::from(setting.shards);
        let inboxes: Vec<_> = (0..count).map(|_| mailbox()).collect();
        let mut senders: Vec<Vec<(ShardId, Sender)>> = Vec::new();
        let mut outboxes = Vec::new();
        for from in 0..count {
            let others: Vec<_> = (0..count).filter(|to| *to != from).collect();
            let boxes = others.iter().map(|to| (*to, mailbox()));
            let (mut to_send, mut to_carry) = (Vec::new(), Vec::new());
            for (to, (_, sender, mailbox)) in boxes {
                to_send.push((shard_id(to), sender));
                to_carry.push((to, mailbox));
            }
            senders.push(to_send);
            outboxes.push(to_carry);
        }
        let all_ports = range(setting, 0, setting.shards);
        let books = Books::new();
        let mut shards = Vec::new();
        for (number, ((poller, inbox, mailbox), (others, outboxes))) in
            inboxes.into_iter().zip(senders.into_iter().zip(outboxes)).enumerate()
        {
            let (id, mut seed) = (shard_id(number), [0; 32]);
            rng.fill_bytes(&mut seed);
            let config = config(setting, range(setting, id.get(), 1));
            let accepted = Arc::clone(&accepted);
            let blueprint = Blueprint { config, accepted, seed, shard: id, count: setting.shards, all_ports };
            let server = blueprint.server(0, &Known::default(), times.0, times.1).expect("the realm is one");
            let offload: Box<dyn Offload + Send> = Box::new(SimulatedOffload::new(number, &kernel, &addresses));
            let published = Published::default();
            let accounting = books.sender(id);
            let driver = Driver::new(RecordedServer::new(server, None), offload, published.clone(), others, accounting);
            let driver = driver.with_shared_quota(quota.clone());
            let sockets = SimulatedSockets::new(number, setting, &machine, held.clone(), &addresses);
            let event_loop = EventLoop::new(driver, sockets, poller, mailbox, clock.clone(), Pulse::default());
            shards.push(Shard {
                event_loop,
                published,
                inbox,
                outboxes,
                arrived: Vec::new(),
                turn_at: None,
                stalled_until: Timestamp::ZERO,
                blueprint,
                lives: 0,
            });
        }
        Self {
            setting: Rc::clone(setting),
            clock,
            shards,
            kernel,
            machine,
            held,
            quota,
            books,
            mail: BTreeMap::new(),
            is_draining: false,
            rng,
        }
    }

    /// The worker to which the kernel gives a datagram: by a hash of the client, or by the relayed port.
    pub(super) fn worker_of(&self, packet: &Packet) -> Option<usize> {
        if packet.to.port() == Setting::LISTEN_PORT {
            let hash = packet.from.port().wrapping_mul(0x9E37) >> 8;
            return Some(usize::from(hash % self.setting.shards));
        }
        let port = relay_server::AllocationPort::new(packet.to.port());
        self.machine.borrow().open.get(&(port, Family::of(packet.to.ip()))).copied()
    }

    /// Delivers a datagram to a socket. Returns the worker that has to read it, or the datagram if there is no socket or no room.
    pub(super) fn arrive(&mut self, packet: Packet) -> Result<usize, Packet> {
        let Some(worker) = self.worker_of(&packet) else { return Err(packet) };
        let shard = &mut self.shards[worker];
        let source = shard.event_loop.sockets_mut().arrive(packet)?;
        shard.arrived.push(source);
        Ok(worker)
    }

    /// Makes `source` ready other than by a datagram.
    pub(super) fn note_ready(&mut self, worker: usize, source: Source) {
        self.shards[worker].arrived.push(source);
    }

    /// Runs a turn of a worker.
    pub(super) fn turn(&mut self, now: Timestamp, worker: usize) {
        self.deliver_mail(now, worker);
        let shard = &mut self.shards[worker];
        let arrived = std::mem::take(&mut shard.arrived);
        shard.event_loop.turn_with(arrived);
        self.collect_mail(now, worker);
        self.books.take_all(now);
    }

    /// Begins a worker anew, as after a panic.
    pub(super) fn fail(&mut self, now: Timestamp, worker: usize) {
        let shard = &mut self.shards[worker];
        shard.lives += 1;
        shard.event_loop.begin_anew(&shard.blueprint, shard.lives).expect("the realm is one");
        self.collect_mail(now, worker);
    }

    /// Takes the mail that a worker has sent to others, and schedules its delivery.
    fn collect_mail(&mut self, now: Timestamp, worker: usize) {
        let shard = &mut self.shards[worker];
        let mut sent = Vec::new();
        for (to, mailbox) in &shard.outboxes {
            sent.extend(std::iter::from_fn(|| mailbox.take()).map(|mail| (*to, mail)));
        }
        for (to, mail) in sent {
            self.post(now, worker, to, mail);
        }
    }

    /// Delivers due mail to a worker.
    fn deliver_mail(&mut self, now: Timestamp, worker: usize) {
        for ((_, to), letters) in &mut self.mail {
            if *to == worker {
                while let Some((_, mail)) = letters.pop_front_if(|(due, _)| *due <= now) {
                    self.shards[worker].inbox.send(mail);
                }
            }
        }
    }

    fn post(&mut self, now: Timestamp, from: usize, to: usize, mail: Mail) {
        let late = self.setting.mail_delay;
        let late = if late.is_zero() { late } else { self.rng.random_range(Duration::ZERO..=late) };
        let letters = self.mail.entry((from, to)).or_default();
        // Mail of one sender stays in order.
        let due = letters.back().map_or(now + late, |(before, _)| (*before).max(now + late));
        letters.push_back((due, mail));
    }

    /// Sends mail to all workers from outside.
    pub(super) fn tell_all(&mut self, now: Timestamp, mail: impl Fn() -> Mail) {
        for worker in 0..self.shards.len() {
            self.post(now, OUTSIDE, worker, mail());
        }
    }

    /// When a worker has to turn because of its mail.
    pub(super) fn mail_due(&self, worker: usize) -> Option<Timestamp> {
        let to_it = self.mail.iter().filter(|((_, to), _)| *to == worker).flat_map(|(_, letters)| letters);
        to_it.filter(|(_, mail)| !mail.can_wait()).map(|(due, _)| *due).min()
    }

    /// Makes all mail due now.
    pub(super) fn hurry_mail(&mut self, now: Timestamp) {
        self.mail.values_mut().flatten().for_each(|(due, _)| *due = (*due).min(now));
    }

    /// Whether no mail is under way.
    pub(super) fn has_heard_all(&self) -> bool {
        self.mail.values().all(VecDeque::is_empty)
    }

    /// What a worker has counted so far.
    pub(super) fn counters(&mut self, worker: usize) -> Counters {
        let shard = &mut self.shards[worker];
        shard.event_loop.publish_now();
        shard.published.read()
    }

    pub(super) fn server(&self, worker: usize) -> &Server {
        self.shards[worker].event_loop.driver().server()
    }

    pub(super) fn servers(&self) -> impl Iterator<Item = &Server> {
        self.shards.iter().map(|shard| shard.event_loop.driver().server())
    }

    /// The datagrams that were received and not read.
    pub(super) fn unread(&self) -> Vec<Packet> {
        self.shards.iter().flat_map(|shard| shard.event_loop.sockets().unread()).cloned().collect()
    }

    /// The number of flows in the kernel.
    pub(super) fn flow_count(&self) -> usize {
        lock(&self.kernel).flows.len()
    }
}

fn shard_id(number: usize) -> ShardId {
    ShardId::new(u16::try_from(number).unwrap_or(u16::MAX))
}

/// A mailbox, its sender, and its poller, at which nobody waits.
fn mailbox() -> (Poller, Sender, Mailbox) {
    let poller = Poller::new().expect("an epoll file");
    let (sender, mailbox) = Mailbox::new(&poller).expect("an event file");
    (poller, sender, mailbox)
}

/// The ports of `count` workers, beginning with `first`.
fn range(setting: &Setting, first: u16, count: u16) -> PortRange {
    let lowest = Setting::LOWEST_PORT + first * setting.ports_per_shard;
    PortRange::new(lowest, lowest + count * setting.ports_per_shard - 1).expect("there are some")
}

fn config(setting: &Setting, ports: PortRange) -> Config {
    Config {
        own_addresses: setting.addresses(AddressStatus::Present).own,
        listen_port: Setting::LISTEN_PORT,
        ports,
        username_limit: setting.username_limit,
        quota_by: setting.quota_by,
        allocations_per_prefix: setting.allocations_per_prefix,
        strict_expiry: setting.strict_expiry,
        reply_limit: setting.reply_limit,
        limits: setting.limits,
        bandwidth: setting.bandwidth,
        indications: setting.indications,
        indicated_peers: u32::try_from(setting.flows / 2).unwrap_or(u32::MAX).div_ceil(setting.shards.into()),
        default_family: setting.default_family,
        ..Config::of_relay_at(setting.public())
    }
}
