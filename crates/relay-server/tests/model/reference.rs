//! What a relay has to do, said as simply as possible: lists that are searched from end to end.

use std::{net::SocketAddr, time::Duration};

use relay_server::{Config, Family, FiveTuple, QuotaBy, RelayOpenError, Timestamp, UsernameLimit};

use crate::{cast, op::AllocateOp, support::method};

pub(crate) struct Reference {
    pub(crate) config: Config,
    pub(crate) allocations: Vec<Allocation>,
    pub(crate) reservations: Vec<Reservation>,
    /// Ports that other programs held, and until when they are left alone.
    pub(crate) held_ports: Vec<(u16, Timestamp)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Allocation {
    pub(crate) five_tuple: FiveTuple,
    pub(crate) user: usize,
    pub(crate) transaction: [u8; 12],
    pub(crate) port: u16,
    /// Its families, and when they end.
    pub(crate) families: Vec<(Family, Timestamp)>,
    pub(crate) lifetime: Duration,
    pub(crate) channels: Vec<Channel>,
    /// Whether both families were asked for.
    pub(crate) dual: bool,
    /// Whether the next port was to be reserved.
    pub(crate) first_of_pair: bool,
    pub(crate) token: Option<[u8; 8]>,
    /// Until its client has been told.
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
    /// The port that was reserved.
    Reserved(u16),
}

#[derive(Clone, Debug)]
pub(crate) struct Reservation {
    pub(crate) port: u16,
    pub(crate) user: usize,
    pub(crate) families: Vec<Family>,
    pub(crate) until: Timestamp,
    /// Unknown until the client has been told.
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
    /// When number and peer are free for others.
    pub(crate) fn free_at(&self) -> Timestamp {
        self.expires_at + Duration::from_secs(300)
    }
}

/// What is to become of an Allocate request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Refuse(u16),
    /// A retransmission: say it again.
    Repeat,
    /// A retransmission of what is not answered yet.
    Ignore,
    /// A port of this kind is to be opened in these families.
    Open(PortKind, Vec<Family>),
}

impl Reference {
    pub(crate) const fn new(config: Config) -> Self {
        Self { config, allocations: Vec::new(), reservations: Vec::new(), held_ports: Vec::new() }
    }

    /// Whom a username is counted for.
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

    /// Whether `user`, a username that has expired, is refused for that.
    pub(crate) fn is_expiry_asked_for(&self, five_tuple: FiveTuple, user: usize, method: u16) -> bool {
        let holds = self.allocations.iter().any(|held| held.five_tuple == five_tuple && held.user == user);
        self.config.strict_expiry || method == method::ALLOCATE || !holds
    }

    /// Ends what is over, in the order of time.
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
        }
        self.allocations.retain(|allocation| !allocation.families.is_empty());
    }

    /// When something is over next.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let of_allocations = self.allocations.iter().flat_map(|allocation| {
            let channels = allocation.channels.iter();
            let channels = channels.map(|channel| if channel.bound { channel.expires_at } else { channel.free_at() });
            allocation.families.iter().map(|(_, until)| *until).chain(channels)
        });
        let reservations = self.reservations.iter().map(|reservation| reservation.until);
        of_allocations.chain(reservations).chain(self.held_ports.iter().map(|(_, until)| *until)).min()
    }

    pub(crate) fn find(&mut self, five_tuple: FiveTuple) -> Option<&mut Allocation> {
        self.allocations.iter_mut().find(|allocation| allocation.five_tuple == five_tuple)
    }

    pub(crate) fn by_port(&mut self, port: u16) -> Option<&mut Allocation> {
        self.allocations.iter_mut().find(|allocation| allocation.port == port)
    }

    /// RFC 8656, section 7.2. `token` is what stands in the request.
    pub(crate) fn judge_allocate(
        &mut self,
        client: usize,
        user: usize,
        transaction: [u8; 12],
        request: &AllocateOp,
        token: Option<[u8; 8]>,
    ) -> Verdict {
        use Verdict::{Ignore, Open, Refuse, Repeat};

        let five_tuple = cast::client(client).five_tuple();
        if client == cast::TEREDO_CLIENT {
            return Refuse(403);
        }
        if let Some(existing) = self.find(five_tuple) {
            return match (existing.transaction == transaction && existing.user == user, &existing.opening) {
                (false, _) => Refuse(437),
                (true, Some(_)) => Ignore,
                (true, None) => Repeat,
            };
        }
        match request.transport {
            None => return Refuse(400),
            Some(17) => {}
            Some(_) => return Refuse(442),
        }
        if request.dont_fragment {
            return Refuse(420);
        }
        let families = if token.is_some() {
            if request.even_port.is_some() || request.family.is_some() || request.additional.is_some() {
                return Refuse(400);
            }
            Vec::new()
        } else {
            if request.family.is_some() && request.additional.is_some() || request.additional == Some(1) {
                return Refuse(400);
            }
            let wanted: &[Family] = match (request.family, request.additional) {
                (None | Some(1), None) => &[Family::V4],
                (Some(2), None) => &[Family::V6],
                (_, Some(_)) => &[Family::V4, Family::V6],
                (Some(_), None) => return Refuse(440),
            };
            let offered = wanted.iter().filter(|family| self.config.relay_addresses.of(**family).is_some());
            let offered: Vec<Family> = offered.copied().collect();
            if offered.is_empty() {
                return Refuse(440);
            }
            if request.even_port == Some(true) && request.additional.is_some() {
                return Refuse(400);
            }
            offered
        };
        let held = self.allocations.iter().filter(|allocation| self.is_same_user(allocation.user, user)).count();
        if let UsernameLimit::RefuseBeyond(limit) = self.config.username_limit
            && self.config.unlimited_user != Some(self.user_id(user).into())
            && held >= limit as usize
        {
            return Refuse(486);
        }
        if let Some(token) = token {
            let found = self
                .reservations
                .iter()
                .position(|held| held.token == Some(token) && self.is_same_user(held.user, user));
            let Some(found) = found else { return Refuse(508) };
            let reservation = self.reservations.remove(found);
            return Open(PortKind::Reserved(reservation.port), reservation.families);
        }
        let kind = match request.even_port {
            None => PortKind::Any,
            Some(false) => PortKind::Even,
            Some(true) => PortKind::Pair,
        };
        let reserved = self.reservations.iter().filter(|held| self.is_same_user(held.user, user)).count();
        if kind == PortKind::Pair && reserved >= 10 {
            return Refuse(486);
        }
        if self.free_ports(kind).is_empty() {
            return Refuse(508);
        }
        Open(kind, families)
    }

    /// The ports that may be drawn for this kind.
    pub(crate) fn free_ports(&self, kind: PortKind) -> Vec<u16> {
        let range = self.config.ports.lowest()..=self.config.ports.highest();
        let free = |port: u16| {
            range.contains(&port)
                && !self.allocations.iter().any(|allocation| allocation.port == port)
                && !self.reservations.iter().any(|reservation| reservation.port == port)
                && !self.held_ports.iter().any(|(held, _)| *held == port)
        };
        match kind {
            PortKind::Any => range.clone().filter(|port| free(*port)).collect(),
            PortKind::Even => range.clone().filter(|port| port % 2 == 0 && free(*port)).collect(),
            PortKind::Pair => range.clone().filter(|port| port % 2 == 0 && free(*port) && free(port + 1)).collect(),
            PortKind::Reserved(_) => Vec::new(),
        }
    }

    /// The socket of an allocation is open, or its port is held by another program, or it cannot be opened at all. An error is
    /// what the client hears, and the end of it.
    pub(crate) fn opened(
        &mut self,
        now: Timestamp,
        port: u16,
        family: Family,
        result: Result<(), RelayOpenError>,
    ) -> Result<Step, u16> {
        let index = self.allocations.iter().position(|allocation| allocation.port == port).unwrap();
        let allocation = &mut self.allocations[index];
        let opening = allocation.opening.as_mut().unwrap();
        match result {
            Ok(()) => opening.opened.push(family),
            Err(RelayOpenError::PortInUse) => {
                opening.opened.clear();
                opening.ports_tried += 1;
                let (kind, ports_tried) = (opening.kind, opening.ports_tried);
                if kind == PortKind::Pair {
                    self.reservations.retain(|reservation| reservation.port != port + 1);
                }
                self.held_ports.push((port, now + Duration::from_secs(60)));
                if ports_tried == 16 || self.free_ports(kind).is_empty() {
                    self.allocations.remove(index);
                    return Err(508);
                }
                return Ok(Step::AnotherPort(kind));
            }
            Err(_) if allocation.families.len() == 2 => allocation.families.retain(|(other, _)| *other != family),
            Err(_) => {
                self.allocations.remove(index);
                return Err(508);
            }
        }
        let allocation = &mut self.allocations[index];
        let opened = &allocation.opening.as_ref().unwrap().opened;
        if let Some(next) = allocation.family_list().into_iter().find(|family| !opened.contains(family)) {
            return Ok(Step::NextFamily(next));
        }
        allocation.opening = None;
        let (user, five_tuple) = (allocation.user, allocation.five_tuple);
        if self.config.username_limit == UsernameLimit::ReplaceOldest {
            let is_replaced =
                |other: &Allocation| self.is_same_user(other.user, user) && other.five_tuple != five_tuple;
            let kept = self.allocations.iter().filter(|other| !is_replaced(other)).cloned().collect();
            self.allocations = kept;
        }
        Ok(Step::Done(five_tuple))
    }

    /// RFC 8656, section 8.2: the lifetime that is granted.
    pub(crate) fn refresh(
        &mut self,
        now: Timestamp,
        (five_tuple, user): (FiveTuple, usize),
        lifetime: Option<u32>,
        family: Option<u8>,
    ) -> Result<u32, u16> {
        let allocation = self.authorized(five_tuple, user)?;
        let family = match family {
            None => None,
            Some(1) => Some(Family::V4),
            Some(2) => Some(Family::V6),
            Some(_) => return Err(443),
        };
        if family.is_some_and(|family| !allocation.family_list().contains(&family)) {
            return Err(443);
        }
        let granted = if lifetime == Some(0) { 0 } else { lifetime.unwrap_or(600).clamp(600, 3600) };
        let duration = Duration::from_secs(granted.into());
        for (of, until) in &mut allocation.families {
            if family.is_none_or(|family| family == *of) {
                *until = now + duration;
                if granted > 0 {
                    allocation.lifetime = duration;
                }
            }
        }
        self.pass(now);
        Ok(granted)
    }

    /// RFC 8656, section 12.2.
    pub(crate) fn bind(
        &mut self,
        now: Timestamp,
        (five_tuple, user): (FiveTuple, usize),
        number: Option<u16>,
        peer: Option<SocketAddr>,
    ) -> Result<(), u16> {
        let allocation = self.authorized(five_tuple, user)?;
        let (Some(number), Some(peer)) = (number, peer) else { return Err(400) };
        if !(0x4000..0x8000).contains(&number) {
            return Err(400);
        }
        if !allocation.family_list().contains(&Family::of(peer.ip())) {
            return Err(443);
        }
        if cast::forbidden().contains(&peer) {
            return Err(403);
        }
        let expires_at = now + Duration::from_secs(600);
        for channel in &mut allocation.channels {
            if (channel.number == number) != (channel.peer == peer) {
                return Err(400);
            }
            if channel.number == number {
                channel.bound = true;
                channel.expires_at = expires_at;
                return Ok(());
            }
        }
        allocation.channels.push(Channel { number, peer, expires_at, bound: true });
        Ok(())
    }

    /// RFC 8656, section 10.2.
    pub(crate) fn permit(&mut self, five_tuple: FiveTuple, user: usize, peers: &[SocketAddr]) -> Result<(), u16> {
        let allocation = self.authorized(five_tuple, user)?;
        if peers.is_empty() {
            return Err(400);
        }
        for peer in peers {
            if !allocation.family_list().contains(&Family::of(peer.ip())) {
                return Err(443);
            }
            if cast::forbidden()[..cast::FORBIDDEN_ADDRESSES].contains(peer) {
                return Err(403);
            }
        }
        Ok(())
    }

    /// RFC 8656, section 5.
    fn authorized(&mut self, five_tuple: FiveTuple, user: usize) -> Result<&mut Allocation, u16> {
        match self.find(five_tuple).filter(|allocation| allocation.opening.is_none()) {
            None => Err(437),
            Some(allocation) if allocation.user != user => Err(441),
            Some(allocation) => Ok(allocation),
        }
    }
}

/// What comes after a socket has been opened, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    AnotherPort(PortKind),
    NextFamily(Family),
    /// The client hears of success.
    Done(FiveTuple),
}

impl Allocation {
    pub(crate) fn family_list(&self) -> Vec<Family> {
        self.families.iter().map(|(family, _)| *family).collect()
    }
}
