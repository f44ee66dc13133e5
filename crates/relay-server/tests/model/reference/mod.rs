//! The reference model: the required behaviour in the simplest form, with lists and linear searches.

mod allocate;
mod requests;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use relay_server::{Config, Family, FiveTuple, QuotaBy, Timestamp};

pub(crate) use allocate::{Step, Verdict};

use crate::{cast, support::method};

pub(crate) struct Reference {
    pub(crate) config: Config,
    pub(crate) allocations: Vec<Allocation>,
    pub(crate) reservations: Vec<Reservation>,
    /// The ports in quarantine, and the end of it.
    pub(crate) held_ports: Vec<(u16, Timestamp)>,
    /// When the current second of the ICMP limit began; and one entry in `icmp_told` per ICMP error sent in it, with the client's
    /// port.
    pub(crate) icmp_since: Timestamp,
    pub(crate) icmp_told: Vec<u16>,
}

#[derive(Clone, Debug)]
pub(crate) struct Allocation {
    pub(crate) five_tuple: FiveTuple,
    pub(crate) user: usize,
    pub(crate) transaction: [u8; 12],
    pub(crate) port: u16,
    /// Its families, with the expiry of each.
    pub(crate) families: Vec<(Family, Timestamp)>,
    pub(crate) lifetime: Duration,
    pub(crate) channels: Vec<Channel>,
    /// The addresses of its permissions, with the expiry of each.
    pub(crate) permissions: Vec<(IpAddr, Timestamp)>,
    /// The remembered peers: those outside with which data was relayed by indications, while permitted.
    pub(crate) remembered: Vec<SocketAddr>,
    /// Whether the client asked for both families.
    pub(crate) dual: bool,
    /// Whether the next port is reserved.
    pub(crate) first_of_pair: bool,
    pub(crate) token: Option<[u8; 8]>,
    /// Set until the client has its response.
    pub(crate) opening: Option<Opening>,
}

#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) kind: PortKind,
    pub(crate) opened: Vec<Family>,
    pub(crate) ports_tried: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortKind {
    Any,
    Even,
    Pair,
    /// This port, which is reserved.
    Reserved(u16),
}

#[derive(Clone, Debug)]
pub(crate) struct Reservation {
    pub(crate) port: u16,
    pub(crate) user: usize,
    pub(crate) families: Vec<Family>,
    pub(crate) until: Timestamp,
    /// Unknown until the client has its response.
    pub(crate) token: Option<[u8; 8]>,
}

#[derive(Clone, Debug)]
pub(crate) struct Channel {
    pub(crate) number: u16,
    pub(crate) peer: SocketAddr,
    pub(crate) expires_at: Timestamp,
    pub(crate) bound: bool,
}

impl Channel {
    /// When number and peer can be bound to others.
    pub(crate) fn free_at(&self) -> Timestamp {
        self.expires_at + Duration::from_secs(300)
    }
}

impl Reference {
    pub(crate) const fn new(config: Config) -> Self {
        Self {
            config,
            allocations: Vec::new(),
            reservations: Vec::new(),
            held_ports: Vec::new(),
            icmp_since: Timestamp::ZERO,
            icmp_told: Vec::new(),
        }
    }

    /// The user that a username is counted for.
    pub(crate) fn user_id(&self, user: usize) -> String {
        match self.config.quota_by {
            QuotaBy::Username => String::from_utf8(cast::credentials(user).username).unwrap(),
            QuotaBy::UserId => cast::USER_IDS[user].to_owned(),
        }
    }

    /// Whether two usernames are counted together.
    pub(crate) fn is_same_user(&self, one: usize, other: usize) -> bool {
        match self.config.quota_by {
            QuotaBy::Username => one == other,
            QuotaBy::UserId => cast::USER_IDS[one] == cast::USER_IDS[other],
        }
    }

    /// Whether a request with `user`, an expired username, is refused.
    pub(crate) fn is_expiry_asked_for(&self, five_tuple: FiveTuple, user: usize, method: u16) -> bool {
        let holds = self.allocations.iter().any(|held| held.five_tuple == five_tuple && held.user == user);
        self.config.strict_expiry || method == method::ALLOCATE || !holds
    }

    /// Ends everything that has expired by `now`.
    pub(crate) fn pass(&mut self, now: Timestamp) {
        self.reservations.retain(|reservation| reservation.until > now);
        self.held_ports.retain(|(_, until)| *until > now);
        for allocation in &mut self.allocations {
            allocation.families.retain(|(_, until)| *until > now);
            let families = allocation.family_list();
            allocation
                .channels
                .retain(|channel| families.contains(&Family::of(channel.peer.ip())) && channel.free_at() > now);
            for channel in &mut allocation.channels {
                channel.bound = channel.expires_at > now;
            }
            allocation.permissions.retain(|(address, until)| families.contains(&Family::of(*address)) && *until > now);
            let permissions = &allocation.permissions;
            allocation.remembered.retain(|peer| permissions.iter().any(|(address, _)| *address == peer.ip()));
        }
        self.allocations.retain(|allocation| !allocation.families.is_empty());
    }

    /// When something expires next.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let of_allocations = self.allocations.iter().flat_map(|allocation| {
            let channels = allocation.channels.iter();
            let channels = channels.map(|channel| if channel.bound { channel.expires_at } else { channel.free_at() });
            let permissions = allocation.permissions.iter().map(|(_, until)| *until);
            allocation.families.iter().map(|(_, until)| *until).chain(channels).chain(permissions)
        });
        let reservations = self.reservations.iter().map(|reservation| reservation.until);
        of_allocations.chain(reservations).chain(self.held_ports.iter().map(|(_, until)| *until)).min()
    }

    /// Remembers `peer`: data was relayed by an indication between it and the client of the allocation at `port`.
    pub(crate) fn remember(&mut self, port: u16, peer: SocketAddr) {
        let in_all: usize = self.allocations.iter().map(|allocation| allocation.remembered.len()).sum();
        let has_room = in_all < self.config.indicated_peers as usize;
        let is_own = self.config.relay_addresses.contains(peer.ip());
        if let Some(allocation) = self.by_port(port)
            && has_room
            && !is_own
            && !allocation.remembered.contains(&peer)
        {
            allocation.remembered.push(peer);
        }
    }

    pub(crate) fn find(&mut self, five_tuple: FiveTuple) -> Option<&mut Allocation> {
        self.allocations.iter_mut().find(|allocation| allocation.five_tuple == five_tuple)
    }

    pub(crate) fn by_port(&mut self, port: u16) -> Option<&mut Allocation> {
        self.allocations.iter_mut().find(|allocation| allocation.port == port)
    }
}

impl Allocation {
    pub(crate) fn family_list(&self) -> Vec<Family> {
        self.families.iter().map(|(family, _)| *family).collect()
    }
}
