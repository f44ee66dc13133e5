//! Faults that happen at one time. What the network does to each datagram is in `links`.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rand::{Rng as _, RngCore as _};
use relay_server::{AcceptedCredentials, AddressStatus, AllocationPort, AuthSecret, PeerPolicy, Scheme, Schemes};
use turn_auth::UnixTime;

use super::{faults::Fault, packet::Packet, plan::Setting, relay::Relay, world::World};
use crate::shard::mailbox::Mail;

impl World {
    /// Injects a fault now and then.
    pub(super) fn maybe_inject(&mut self) {
        // The number of draws must not depend on the kinds of faults.
        let (chance, which) = (self.rng.random_range(0..40), self.rng.random_range(0..Fault::ALL.len()));
        let fault = Fault::ALL[which];
        if chance == 0 && self.setting.faults.has(fault) {
            self.tell(|| format!("fault: {fault:?}"));
            self.inject(fault);
        }
    }

    fn inject(&mut self, fault: Fault) {
        match fault {
            // Network, machine and mail apply these all the time.
            Fault::Loss | Fault::Duplication | Fault::Delay | Fault::Overrun | Fault::FullMap | Fault::LateMail => {}
            Fault::Spoofing => (0..self.rng.random_range(1..6)).for_each(|_| self.spoof()),
            Fault::Flood => self.flood(),
            Fault::Restart => self.restart_client(),
            Fault::Rebinding => self.rebind(),
            Fault::TakenPort => self.take_ports(),
            Fault::NoFile => self.relay.machine.borrow_mut().failures = self.rng.random_range(0..3),
            Fault::BrokenSocket => self.break_socket(),
            Fault::Stall => self.stall(),
            Fault::Drain => {
                self.relay.is_draining = true;
                self.relay.tell_all(self.now + self.ahead, || Mail::Drain);
                (0..self.relay.shards.len()).for_each(|worker| self.plan_turn(worker));
            }
            // A draining relay is restarted later.
            Fault::Kill => self.restart_relay(),
            Fault::Jump => self.jump(),
            Fault::WallClock => {
                let far = [0, 0, 60, -60, 7_200, -7_200, 100_000_000, -100_000_000];
                self.wall_ahead = far[self.rng.random_range(0..far.len())];
            }
            Fault::Secret => self.replace_secret(),
            Fault::Address => self.change_address(),
            Fault::Panic => self.fail_worker(),
            Fault::Rules => self.change_rules(),
        }
        // A draining relay serves no new clients, so do not keep it for long.
        if self.relay.is_draining && self.rng.random_bool(0.2) {
            self.restart_relay();
        }
    }

    fn some_client(&mut self) -> usize {
        self.rng.random_range(0..self.clients.len())
    }

    /// A stranger sends noise, or a copy of a client's datagram, altered or not, from its own address.
    fn spoof(&mut self) {
        let stranger = SocketAddr::from(([70, 3, 0, self.rng.random_range(1..4)], self.rng.random_range(1_024..1_030)));
        let relay = self.setting.public().v4.map_or(stranger, |v4| SocketAddr::new(v4.into(), Setting::LISTEN_PORT));
        let kind = self.rng.random_range(0..4);
        let mut bytes = match &self.overheard {
            Some(packet) if kind > 0 => packet.bytes.clone(),
            _ => {
                let mut noise = vec![0; self.rng.random_range(0..100)];
                self.rng.fill_bytes(&mut noise);
                noise
            }
        };
        if kind > 1 && !bytes.is_empty() {
            for _ in 0..self.rng.random_range(1..4) {
                let at = self.rng.random_range(0..bytes.len());
                bytes[at] ^= 1 << self.rng.random_range(0..8);
            }
        }
        // A copied probe must not count as the client's.
        if let Some(at) = bytes.windows(7).position(|window| window == b"\xFFprobe:") {
            bytes[at + 1] = b'P';
        }
        let to = if kind == 3 {
            let ports = self.setting.shards * self.setting.ports_per_shard;
            SocketAddr::new(relay.ip(), Setting::LOWEST_PORT + self.rng.random_range(0..ports))
        } else {
            relay
        };
        self.send(vec![Packet { from: stranger, to, bytes }], true);
    }

    /// Hosts of one prefix send more requests than the relay answers.
    fn flood(&mut self) {
        let Some(v4) = self.setting.public().v4 else { return };
        let to = SocketAddr::new(v4.into(), Setting::LISTEN_PORT);
        let head: [u8; 8] = [0x00, self.rng.random_range(1..4), 0, 0, 0x21, 0x12, 0xA4, 0x42];
        for _ in 0..200 {
            let from = SocketAddr::from(([70, 4, 0, self.rng.random_range(1..4)], self.rng.random()));
            let mut bytes = head.to_vec();
            bytes.extend(self.rng.random::<[u8; 12]>());
            self.send(vec![Packet { from, to, bytes }], true);
        }
    }

    /// A client loses its state. Its system gives it another port, or the same.
    fn restart_client(&mut self) {
        let number = self.some_client();
        let at = self.now + self.rng.random_range(Duration::ZERO..Duration::from_secs(20));
        if self.rng.random_bool(0.3) {
            let address = self.clients[number].address;
            self.begin_life_at(number, at, address);
        } else {
            self.begin_life(number, at);
        }
    }

    /// A NAT changes a client's port. The client does not notice.
    fn rebind(&mut self) {
        let number = self.some_client();
        self.doubt(number);
        let mut address = self.clients[number].address;
        address.set_port(self.rng.random_range(40_000..60_000));
        if self.clients.iter().all(|client| client.address != address) {
            self.clients[number].address = address;
        }
    }

    /// Other programs bind ports, and release those that they had.
    fn take_ports(&mut self) {
        let ports = self.setting.shards * self.setting.ports_per_shard;
        let count = self.rng.random_range(0..=ports / 2);
        let taken = (0..count).map(|_| AllocationPort::new(Setting::LOWEST_PORT + self.rng.random_range(0..ports)));
        let mut taken: std::collections::BTreeSet<_> = taken.collect();
        let mut machine = self.relay.machine.borrow_mut();
        taken.retain(|port| machine.open.keys().all(|(open, _)| open != port));
        machine.taken = taken;
    }

    fn break_socket(&mut self) {
        let open: Vec<_> =
            self.relay.machine.borrow().open.iter().map(|((port, _), worker)| (*port, *worker)).collect();
        if open.is_empty() {
            return;
        }
        let (port, worker) = open[self.rng.random_range(0..open.len())];
        let owner = self.relay.server(worker).allocations().find(|allocation| allocation.port() == port);
        let owner = owner.map(|owner| owner.five_tuple().client);
        let number = self.clients.iter().position(|client| Some(client.address) == owner.map(|owner| owner.address()));
        number.into_iter().for_each(|number| self.doubt(number));
        if let Some(source) = self.relay.shards[worker].event_loop.sockets_mut().break_relay(port) {
            self.relay.note_ready(worker, source);
            self.turn_soon(worker);
        }
    }

    /// Stalls some workers.
    fn stall(&mut self) {
        let until = self.now + Duration::from_millis([5, 100, 1_000, 3_000][self.rng.random_range(0..4)]);
        for worker in 0..self.relay.shards.len() {
            if self.rng.random_bool(0.5) {
                let shard = &mut self.relay.shards[worker];
                shard.stalled_until = shard.stalled_until.max(until);
                self.last_stall = self.last_stall.max(until);
                self.plan_turn(worker);
            }
        }
    }

    /// Kills the relay and starts it again.
    pub(super) fn restart_relay(&mut self) {
        for packet in self.relay.unread() {
            self.probes.lose(&packet);
        }
        self.probes.forgive_all();
        (0..self.clients.len()).for_each(|number| self.doubt(number));
        let unix = self.unix_time();
        let times = (self.now + self.ahead, unix);
        let rng = self.relay_rng();
        let (clock, accepted) = (self.relay.clock.clone(), self.accepted());
        self.relay = Relay::start(&self.setting, clock, accepted, times, rng);
        (0..self.relay.shards.len()).for_each(|worker| self.plan_turn(worker));
    }

    /// The relay's wall-clock time.
    pub(super) fn unix_time(&self) -> UnixTime {
        crate::clock::TimeSource::unix_time(&self.relay.clock)
    }

    /// The relay's clock jumps ahead, and everything that is due happens.
    fn jump(&mut self) {
        let seconds = [1, 20, 200, 700, 4_000][self.rng.random_range(0..5)];
        self.probes.forgive_all();
        // Messages between workers take only a moment, so deliver them first.
        while !self.relay.has_heard_all() {
            let now = self.now + self.ahead;
            self.relay.hurry_mail(now);
            (0..self.relay.shards.len()).for_each(|worker| self.relay.turn(now, worker));
            self.carry();
        }
        self.ahead += Duration::from_secs(seconds);
        self.set_clock();
        // An allocation that has expired by this may be followed by another, which a late copy of the client's request creates.
        let now = self.times();
        for number in 0..self.clients.len() {
            if !self.clients[number].is_sure(now, Duration::ZERO) {
                self.doubt(number);
            }
        }
        (0..self.relay.shards.len()).for_each(|worker| self.plan_turn(worker));
    }

    /// Replaces the portal's secret. The old one stays valid for a while, or not.
    fn replace_secret(&mut self) {
        self.secrets.insert(0, AuthSecret::from_random(self.rng.random()));
        let keep = self.rng.random_range(1..3);
        self.secrets.truncate(keep);
        let accepted = self.accepted();
        self.relay.tell_all(self.now + self.ahead, || Mail::Accept(Arc::clone(&accepted)));
    }

    pub(super) fn accepted(&self) -> Arc<AcceptedCredentials> {
        let [newest, ..] = &self.secrets[..] else { panic!("there is a secret") };
        let mut accepted = AcceptedCredentials::of_secret(Schemes::Only(Scheme::Firezone), newest.clone());
        accepted.secrets = self.secrets.clone();
        Arc::new(accepted)
    }

    fn change_address(&mut self) {
        let status = if self.rng.random_bool(0.5) { AddressStatus::Missing } else { AddressStatus::Present };
        let mut addresses = self.setting.addresses(status);
        if self.rng.random_bool(0.5) {
            addresses.own.push([45, 10, 0, self.rng.random_range(10..20)].into());
        }
        let addresses = Arc::new(addresses);
        self.relay.tell_all(self.now + self.ahead, || Mail::Addresses(Arc::clone(&addresses)));
        (0..self.relay.shards.len()).for_each(|worker| self.plan_turn(worker));
    }

    /// A worker panics between two turns: its allocations end, and it begins anew. Guarantees for clients of other workers remain.
    fn fail_worker(&mut self) {
        let worker = self.rng.random_range(0..self.relay.shards.len());
        for number in 0..self.clients.len() {
            let held = self.clients[number].held.as_ref().map(|held| held.relayed.clone()).unwrap_or_default();
            let address = self.clients[number].address;
            let of_worker = self.relay.server(worker).allocations().any(|allocation| {
                allocation.five_tuple().client.address() == address
                    || held.iter().any(|relayed| relayed.port() == allocation.port().get())
            });
            // A client that waits for its response may have an allocation on this worker.
            if of_worker || held.is_empty() {
                self.doubt(number);
            }
        }
        let now = self.now + self.ahead;
        self.relay.fail(now, worker);
        self.carry();
        self.check_all();
        (0..self.relay.shards.len()).for_each(|worker| self.plan_turn(worker));
    }

    /// Replaces the rules about peers.
    fn change_rules(&mut self) {
        let rules = [&[][..], &["deny 90.2.0.0/31"], &["deny 90.2.0.1"], &["deny 2a02:26f0::/32"]];
        let rules = rules[self.rng.random_range(0..rules.len())].iter().map(|rule| rule.parse().expect("a rule"));
        let policy = Arc::new(PeerPolicy::of_relay_at(&self.setting.public(), rules.collect::<Vec<_>>()));
        // Any client that sends to peers may be refused, now or at its next permission.
        (0..self.clients.len()).for_each(|number| self.doubt(number));
        let now = self.now + self.ahead;
        self.relay.tell_all(now, || Mail::PeerPolicy(Arc::clone(&policy)));
        // Deliver the mail at once: a worker with old rules would grant what the new rules end.
        self.relay.hurry_mail(now);
        (0..self.relay.shards.len()).for_each(|worker| self.relay.turn(now, worker));
        self.carry();
        (0..self.relay.shards.len()).for_each(|worker| self.plan_turn(worker));
    }
}
