use std::collections::{BTreeSet, VecDeque};

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;

use super::{AllocationsSnapshot, Entry, Generator, SnapshotError};
use crate::{
    Allocation, AllocationId, AllocationPort, Allocations, Credential, Limits, PortRange,
    channels::Channels,
    clients::Clients,
    keyed_hash::KeyedHash,
    port_pool::PortPool,
    reservations::Reservations,
    shortcut::Shortcut,
    slots::{NO_SLOT, Slots},
    timers::{TimerKey, Timers},
    traffic::Meter,
    users::Users,
};

impl AllocationsSnapshot {
    /// The allocations that the snapshot was taken of: the same calls give the same results as there. What they have beyond `limits` stays.
    ///
    /// # Errors
    ///
    /// When the snapshot is not one of allocations that there can be.
    pub fn restore(self, limits: Limits) -> Result<Allocations, SnapshotError> {
        let Generator { seed, word_pos } = self.rng;
        let mut rng = ChaCha20Rng::from_seed(*seed);
        let hash = KeyedHash::new(&mut rng);
        rng.set_word_pos(word_pos);
        let pool = PortPool::of_lists(self.ports, self.free).ok_or(SnapshotError::FreePorts)?;
        let mut allocations = Allocations {
            hash,
            slots: slots_for(self.created, &self.allocations)?,
            clients: Clients::default(),
            by_port: vec![NO_SLOT; usize::from(self.ports_of_all_shards.len())],
            users: Users::default(),
            timers: Timers::default(),
            ports: self.ports_of_all_shards,
            pool,
            lent: BTreeSet::new(),
            left: Vec::new(),
            reservations: Reservations::default(),
            expired: VecDeque::new(),
            limits,
            channel_count: 0,
            permission_count: 0,
            rng,
        };
        if self.has_other_shards {
            allocations.reservations.share();
        }
        let mut places = Places::of(&allocations.pool);
        for (token, reservation) in self.reservations {
            if !reservation.is_adopted {
                places.put(reservation.port)?;
            }
            if !allocations.reservations.put_back(&mut allocations.timers, token, reservation) {
                return Err(SnapshotError::Reservation);
            }
        }
        for port in self.lent {
            if !allocations.pool.owns(port) {
                return Err(SnapshotError::Port(port));
            }
            places.put(port)?;
            allocations.lent.insert(port);
        }
        for (at, port) in self.quarantined {
            if !allocations.pool.owns(port) {
                return Err(SnapshotError::Port(port));
            }
            places.put(port)?;
            allocations.timers.arm((at, TimerKey::Quarantine(port)));
        }
        for (at, number) in self.waits {
            allocations.wait(at, number);
        }
        for entry in self.allocations {
            places.put(entry.port)?;
            allocations.put_back(entry)?;
        }
        match places.find_lost() {
            Some(port) => Err(SnapshotError::Port(port)),
            None => Ok(allocations),
        }
    }
}

impl Allocations {
    fn put_back(&mut self, entry: Entry) -> Result<(), SnapshotError> {
        let (id, five_tuple, port) = (AllocationId::from_u64(entry.id), entry.five_tuple, entry.port);
        if self.ports.index_of(port).is_none() || self.by_port(port).is_some() {
            return Err(SnapshotError::Port(port));
        }
        if self.by_five_tuple(&five_tuple).is_some() {
            return Err(SnapshotError::FiveTuple(five_tuple));
        }
        if entry.key.len() > Credential::MAX_KEY_LEN {
            return Err(SnapshotError::Key(id));
        }
        let user_id = entry.user_id.as_deref().unwrap_or(&entry.username);
        let credential =
            Credential { username: &entry.username, user_id, key: &entry.key, expires_at: entry.credential_expires_at };
        let owner = self.users.owner(&self.hash, &self.slots, &credential);
        let previous_of_user = self.users.append(&self.hash, &mut self.slots, owner.user_id(), id.slot());
        self.clients.insert(&self.hash, &self.slots, &five_tuple, id.slot());
        self.set_slot_of_port(port, id.slot());
        let mut allocation = Allocation {
            client: five_tuple.client,
            server: five_tuple.server,
            families: entry.families,
            port,
            shortcut: Shortcut::NONE,
            port_kind: entry.port_kind,
            ports_tried: entry.ports_tried,
            previous_of_user,
            meter: Meter::of(entry.relayed),
            id,
            created_at: entry.created_at,
            lifetime: entry.lifetime,
            owner,
            channels: Channels::default(),
            deadlines: entry.deadlines,
            transaction_id: entry.transaction_id,
            reservation: entry.reservation,
            next_of_user: NO_SLOT,
        };
        self.put_back_channels(&mut allocation, &entry)?;
        self.put_back_permissions(&mut allocation, &entry)?;
        self.timers.arm(allocation.timer());
        self.slots.put_back(allocation);
        Ok(())
    }

    fn put_back_channels(&mut self, allocation: &mut Allocation, entry: &Entry) -> Result<(), SnapshotError> {
        let (hash, id) = (&self.hash, allocation.id);
        for channel in &entry.channels {
            let is_new = allocation.channels.by_number(hash, channel.number).is_none()
                && allocation.channels.by_peer(hash, channel.peer).is_none();
            let fits = allocation.channels.len() < usize::from(u16::MAX);
            if !is_new || !fits {
                return Err(SnapshotError::Channels(id));
            }
            allocation.change_channels(|channels| channels.insert(hash, *channel));
            self.timers.arm(channel.timer(id));
            self.channel_count = self.channel_count.saturating_add(1);
        }
        Ok(())
    }

    fn put_back_permissions(&mut self, allocation: &mut Allocation, entry: &Entry) -> Result<(), SnapshotError> {
        let hash = &self.hash;
        for permission in &entry.permissions {
            let is_new = !allocation.is_permitted(hash, permission.address);
            let fits = allocation.permissions().len() < usize::from(u16::MAX);
            if !is_new || !fits {
                return Err(SnapshotError::Permissions(allocation.id));
            }
            allocation.change_permissions(|permissions| permissions.insert(hash, *permission));
            self.permission_count = self.permission_count.saturating_add(1);
        }
        for timer in allocation.permission_timers() {
            self.timers.arm(timer);
        }
        Ok(())
    }
}

/// Empty slots for the allocations, which must be in the order of creation.
fn slots_for(created: u64, entries: &[Entry]) -> Result<Slots, SnapshotError> {
    let mut taken = BTreeSet::new();
    let mut sequences = 0;
    for entry in entries {
        let id = AllocationId::from_u64(entry.id);
        let is_next = id.sequence() >= sequences && id.sequence() < created;
        if !is_next || id.slot() == NO_SLOT || !taken.insert(id.slot()) {
            return Err(SnapshotError::Id(id));
        }
        sequences = id.sequence() + 1;
    }
    Ok(Slots::for_ids(created, entries.iter().map(|entry| AllocationId::from_u64(entry.id))))
}

/// Which ports of the pool were found in one place already.
struct Places {
    ports: PortRange,
    are_found: Vec<bool>,
}

impl Places {
    fn of(pool: &PortPool) -> Self {
        let ports = pool.range();
        Self { ports, are_found: ports.iter().map(|port| pool.is_free(port)).collect() }
    }

    /// `port` is in one more place, if it is one of the pool.
    fn put(&mut self, port: AllocationPort) -> Result<(), SnapshotError> {
        let Some(index) = self.ports.index_of(port) else { return Ok(()) };
        if std::mem::replace(&mut self.are_found[index], true) { Err(SnapshotError::Port(port)) } else { Ok(()) }
    }

    /// A port of the pool that is nowhere.
    fn find_lost(&self) -> Option<AllocationPort> {
        self.ports.iter().zip(&self.are_found).find_map(|(port, is_found)| (!is_found).then_some(port))
    }
}
