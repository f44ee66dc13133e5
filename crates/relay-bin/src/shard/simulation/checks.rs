//! The invariants that hold at all times, and what must be gone at the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use relay_server::{
    AllocationPort, Arriving, ClientPrefix, Family, Flow, Leaving, QuotaHolder, Relayed, Server, UsernameLimit,
};

use super::{
    faults::Fault,
    kernel::{end_of, lock},
    plan::Setting,
    world::World,
};
use crate::shard::stats::{Counters, Loss};

/// Checks of the whole relay run after this many turns.
const EVERY: u64 = 16;

impl World {
    /// Checks a worker after its turn.
    pub(super) fn check_turn(&mut self, worker: usize) {
        self.check_sockets(worker);
        self.check_quota();
        lock(&self.relay.kernel).assert_none_waits_in_vain(worker);
        if self.turns.is_multiple_of(EVERY) {
            self.check_all();
        }
    }

    /// Runs all checks of the whole relay.
    pub(super) fn check_all(&mut self) {
        for worker in 0..self.relay.shards.len() {
            self.relay.server(worker).assert_consistent();
            self.check_counts(worker);
            self.check_flows(worker);
        }
        self.check_ports();
        self.check_kernel_counts();
        if self.relay.has_heard_all() {
            self.check_lent_ports();
            self.check_users();
            self.check_ends_of_flows();
        }
    }

    /// The open sockets are those of the worker's allocations.
    fn check_sockets(&self, worker: usize) {
        let open: BTreeSet<_> = self.relay.shards[worker].event_loop.sockets().open_ports().collect();
        let of_allocations: BTreeSet<_> = relayed(self.relay.server(worker)).collect();
        assert_eq!(open, of_allocations, "worker {worker}: the sockets that are open, and those of its allocations");
    }

    /// No two allocations have the same port, and all workers see which ports are held.
    fn check_ports(&self) {
        let mut all = BTreeSet::new();
        for server in self.relay.servers() {
            for allocation in server.allocations() {
                assert!(all.insert(allocation.port()), "{} has two allocations", allocation.port());
            }
        }
        let open: BTreeSet<_> = self.relay.servers().flat_map(relayed).collect();
        assert!(self.relay.machine.borrow().open.keys().copied().eq(open.iter().copied()));
        let public = self.setting.public();
        for family in Family::ALL {
            for number in 0..self.setting.shards * self.setting.ports_per_shard {
                let port = AllocationPort::new(Setting::LOWEST_PORT + number);
                let Some(address) = public.socket(family, port) else { continue };
                assert_eq!(self.relay.held.contains(address), open.contains(&(port, family)), "{address} is held");
            }
        }
    }

    /// The counters agree with the allocations, and every received datagram is accounted for.
    fn check_counts(&mut self, worker: usize) {
        let counters = self.relay.counters(worker);
        let server = self.relay.server(worker);
        assert_eq!(counters.allocations(), server.allocation_count() as u64);
        let channels = server.allocations().flat_map(|allocation| allocation.channels());
        assert_eq!(counters.channels(), channels.filter(|channel| channel.is_bound()).count() as u64);
        let permissions = server.allocations().map(|allocation| allocation.permissions().len()).sum::<usize>();
        assert_eq!(counters.permissions(), permissions as u64);

        let event_loop = &self.relay.shards[worker].event_loop;
        let tally = event_loop.sockets().tally;
        let relayed = (
            counters.to_peers.packets + counters.to_clients.packets,
            counters.to_peers.bytes + counters.to_clients.bytes,
        );
        assert_eq!(relayed, (tally.forwarded, tally.forwarded_bytes));
        let waiting = (event_loop.driver().early_len() + server.requests_waiting()) as u64;
        let accounted = tally.forwarded + tally.answered + dropped(&counters) + waiting;
        assert!(
            (accounted..=accounted + tally.silent).contains(&tally.received),
            "worker {worker} has received {}, of which {accounted} are accounted for: {tally:?}, {counters:?}",
            tally.received
        );
    }

    /// The kernel has exactly the flows of this worker's channels and indications, except those that it refused.
    fn check_flows(&self, worker: usize) {
        let kernel = lock(&self.relay.kernel);
        let wanted: BTreeMap<_, _> =
            self.relay.server(worker).flows().into_iter().map(|flow| (flow.key, flow)).collect();
        let mut installed = BTreeSet::new();
        for flow in kernel.of_worker(worker) {
            assert_eq!(wanted.get(&flow.key), Some(flow), "a flow in the kernel that worker {worker} does not know");
            installed.insert(flow.key);
            self.check_permission(worker, flow);
        }
        for (key, flow) in wanted {
            let is_there = installed.contains(&key) || kernel.refused.contains_key(&(worker, key));
            assert!(is_there, "worker {worker} did not have the kernel take {flow:?}");
        }
    }

    /// A flow of indications in the kernel has a permission.
    fn check_permission(&self, worker: usize, flow: &Flow) {
        let (peer, port) = match (flow.key.carries, flow.leaves_in) {
            (Arriving::Send(peer), _) => (peer, flow.from_client_of),
            (_, Leaving::Data) => (flow.key.remote, flow.to_client_of),
            _ => return,
        };
        let allocation = self.relay.server(worker).allocations().find(|one| Some(one.port()) == port);
        let mut permissions = allocation.iter().flat_map(|allocation| allocation.permissions());
        assert!(permissions.any(|permission| permission.address() == peer.ip()), "{flow:?} without permission");
    }

    /// What the kernel has forwarded is the sum of what removed flows reported and what installed flows have counted.
    fn check_kernel_counts(&self) {
        let kernel = lock(&self.relay.kernel);
        let mut known = kernel.told;
        known += kernel.untold();
        assert_eq!(known, kernel.forwarded);
    }

    /// A lent port is held by exactly one other worker, and a port that is not lent by none.
    fn check_lent_ports(&self) {
        let mut holders: BTreeMap<AllocationPort, Vec<usize>> = BTreeMap::new();
        for (worker, server) in self.relay.servers().enumerate() {
            for port in server.held_ports() {
                holders.entry(port).or_default().push(worker);
            }
        }
        for (home, server) in self.relay.servers().enumerate() {
            let lent: BTreeSet<_> = server.lent_ports().collect();
            for port in server.config().ports.iter() {
                let others = holders.get(&port).into_iter().flatten().filter(|holder| **holder != home).count();
                let expected = usize::from(lent.contains(&port));
                assert_eq!(others, expected, "{port} of worker {home}: lent or not, and how many others hold it");
            }
        }
    }

    /// The shared counts of users and networks agree with the allocations on all workers.
    fn check_quota(&self) {
        let (mut users, mut prefixes) = (BTreeMap::<_, u32>::new(), BTreeMap::<_, u32>::new());
        for allocation in self.relay.servers().flat_map(Server::allocations) {
            *users.entry(QuotaHolder::User(Arc::clone(allocation.owner().user_id()))).or_default() += 1;
            let prefix = ClientPrefix::of(allocation.five_tuple().client.address().ip());
            *prefixes.entry(QuotaHolder::Prefix(prefix)).or_default() += 1;
        }
        let mut counted = BTreeMap::new();
        if let UsernameLimit::RefuseBeyond(limit) = self.setting.username_limit {
            assert!(users.values().all(|count| *count <= limit), "more than {limit}: {users:?}");
            // A single worker counts its users by itself.
            counted.extend(users.into_iter().filter(|_| self.setting.shards > 1));
        }
        if let Some(limit) = self.setting.allocations_per_prefix {
            assert!(prefixes.values().all(|count| *count <= limit.get()), "more than {limit}: {prefixes:?}");
            counted.extend(prefixes);
        }
        assert_eq!(self.relay.quota.counts(), counted);
    }

    /// Each worker knows how many allocations a user has on the other workers.
    fn check_users(&self) {
        let mut users: BTreeMap<&str, u32> = BTreeMap::new();
        for allocation in self.relay.servers().flat_map(Server::allocations) {
            *users.entry(allocation.owner().user_id()).or_default() += 1;
        }
        for (user, count) in users {
            for server in self.relay.servers() {
                let here = u32::try_from(server.allocations_of(user)).unwrap_or(u32::MAX);
                match self.setting.username_limit {
                    UsernameLimit::RefuseBeyond(_) => {
                        assert_eq!(here + server.remote_allocations_of(user), count, "allocations of {user}");
                    }
                    UsernameLimit::ReplaceOldest => {
                        let replaced = "a new allocation takes the place of the old";
                        assert!(
                            count == 1 || self.setting.faults.has(Fault::LateMail),
                            "{user} has {count}: {replaced}"
                        );
                    }
                }
            }
        }
    }

    /// Flows to clients of other workers end in bound channels.
    fn check_ends_of_flows(&self) {
        let kernel = lock(&self.relay.kernel);
        for installed in kernel.flows.values() {
            let Some((port, channel)) = end_of(&installed.flow) else { continue };
            let mut allocations = self.relay.servers().flat_map(Server::allocations);
            let is_bound = allocations.find(|allocation| allocation.port() == port).is_some_and(|allocation| {
                allocation.channels().iter().any(|bound| bound.is_bound() && bound.number() == channel)
            });
            assert!(is_bound, "{:?} ends in a channel that is not bound", installed.flow);
        }
    }

    /// Each allocation has exactly one account with what it has relayed. To be called when all have ended.
    fn check_accounts(&mut self) {
        let mut counters = Counters::default();
        for worker in 0..self.relay.shards.len() {
            // Publishing the counters also sends the events for accounting.
            counters.merge(self.relay.counters(worker));
        }
        let books = &mut self.relay.books;
        books.take_all(self.now + self.ahead);
        assert_eq!((books.told, books.open()), (counters.allocations_created, 0), "allocations, and their accounts");
        let Relayed { to_peers, from_peers } = books.in_user_space;
        // Data between two clients of the relay counts for both.
        assert!(to_peers.bytes >= counters.to_peers.bytes, "{to_peers:?}, {:?}", counters.to_peers);
        if books.incomplete == 0 {
            assert_eq!(from_peers, counters.to_clients, "accounted for, and sent to clients");
        }
    }

    /// Lets everything end, and checks that nothing is left.
    pub(super) fn finish(&mut self) {
        self.links.mend();
        self.check_all();
        self.relay.machine.borrow_mut().failures = 0;
        for shard in &mut self.relay.shards {
            shard.stalled_until = relay_server::Timestamp::ZERO;
        }
        // Datagrams under way arrive. Nobody sends new ones.
        let silence = self.now + Duration::from_secs(60);
        for round in 0..4_000 {
            let next = self.relay.servers().filter_map(Server::poll_timeout).min();
            let is_over = next.is_none() && self.relay.has_heard_all() && self.now > silence;
            if is_over {
                break;
            }
            assert!(round < 3_999, "it does not end");
            // Workers turn at least once a second, and take their mail then.
            let later = self.now + Duration::from_secs(1);
            let next = next.map(|next| self.now + next.saturating_duration_since(self.now + self.ahead));
            self.now = next.map_or(later, |next| next.max(later));
            self.set_clock();
            for worker in 0..self.relay.shards.len() {
                self.relay.turn(self.now + self.ahead, worker);
                self.relay.machine.borrow_mut().sent.clear();
                self.check_sockets(worker);
            }
        }
        self.check_all();
        self.check_quota();
        self.relay.servers().for_each(Server::assert_empty);
        self.check_accounts();
        assert!(self.relay.machine.borrow().open.is_empty(), "sockets are left");
        assert_eq!(self.relay.flow_count(), 0, "flows are left");
        for shard in &self.relay.shards {
            assert_eq!(shard.event_loop.driver().early_len(), 0, "data waits for a request that never came");
        }
    }
}

/// The number of datagrams that a worker has dropped on purpose.
fn dropped(counters: &Counters) -> u64 {
    counters
        .losses
        .iter()
        .filter(|(loss, _)| !matches!(loss, Loss::SendBufferFull | Loss::SendFailed))
        .map(|(_, count)| count)
        .sum()
}

/// The ports and families of a worker's allocations.
fn relayed(server: &Server) -> impl Iterator<Item = (AllocationPort, Family)> {
    server.allocations().flat_map(|allocation| allocation.families().iter().map(|family| (allocation.port(), family)))
}
