mod check;
mod expiry;

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use crate::{
    AllocateError, Allocation, AllocationId, AllocationPort, BindError, Bound, CHANNEL_BINDING_LIFETIME, ChannelNumber,
    ChannelPeerError, Family, FiveTuple, Limits, MAX_PORTS_TRIED, MAX_RESERVATIONS_PER_USER, NewAllocation,
    PERMISSION_LIFETIME, PORT_QUARANTINE, PeerChannelError, PeerSocket, PermissionError, PermitError, Permitted,
    PortRange, PortRequest, RESERVATION_LIFETIME, ReservationToken, RetryPortError, Timestamp, ToClient,
    UnknownAllocation,
};

/// A naive model of [`super::Allocations`]: lists that are searched from end to end. It makes no random choices: it is told
/// the real ones and checks that they are allowed.
pub(super) struct Model {
    pub(super) ports: PortRange,
    pub(super) limits: Limits,
    /// In the order of creation.
    pub(super) allocations: Vec<Record>,
    reservations: Vec<Reservation>,
    quarantine: Vec<(AllocationPort, Timestamp)>,
    pub(super) ended: Vec<Ended>,
}

pub(super) struct Record {
    id: AllocationId,
    pub(super) five_tuple: FiveTuple,
    username: String,
    transaction_id: [u8; 12],
    pub(super) port: AllocationPort,
    request: PortRequest,
    tried: u8,
    families: Vec<(Family, Timestamp)>,
    token: Option<ReservationToken>,
    lifetime: Duration,
    channels: Vec<(ChannelNumber, PeerSocket, Timestamp, bool)>,
    /// When one is removed, the last one takes its position.
    permissions: Vec<(IpAddr, Timestamp)>,
}

struct Reservation {
    token: ReservationToken,
    port: AllocationPort,
    username: String,
    families: Vec<Family>,
    expires_at: Timestamp,
}

/// Variants are in the order in which things with equal deadlines end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ended {
    /// The whole allocation, or one family and its channels.
    Allocation(AllocationId, Option<(Family, Vec<ChannelNumber>)>),
    Permission(AllocationId, usize, IpAddr),
    Channel(AllocationId, ChannelNumber, PeerSocket),
    Reserved(AllocationId, ChannelNumber, PeerSocket),
}

impl Record {
    /// The numbers of the channels to peers of `family`, in order.
    fn numbers_of(&self, family: Family) -> Vec<ChannelNumber> {
        let of_family = self.channels.iter().filter(|(_, peer, ..)| peer.address().is_ipv4() == (family == Family::V4));
        let mut numbers: Vec<_> = of_family.map(|(number, ..)| *number).collect();
        numbers.sort_unstable();
        numbers
    }
}

impl Model {
    pub(super) fn new(ports: PortRange, limits: Limits) -> Self {
        Self {
            ports,
            limits,
            allocations: Vec::new(),
            reservations: Vec::new(),
            quarantine: Vec::new(),
            ended: Vec::new(),
        }
    }

    pub(super) fn free_ports(&self) -> impl Iterator<Item = AllocationPort> {
        self.ports.iter().filter(|port| self.is_free(*port))
    }

    fn is_free(&self, port: AllocationPort) -> bool {
        self.ports.contains(port)
            && self.allocations.iter().all(|allocation| allocation.port != port)
            && self.reservations.iter().all(|reservation| reservation.port != port)
            && self.quarantine.iter().all(|(quarantined, _)| *quarantined != port)
    }

    fn fits(&self, request: PortRequest, port: AllocationPort) -> bool {
        let is_even = port.get().is_multiple_of(2);
        self.is_free(port)
            && match request {
                PortRequest::Any => true,
                PortRequest::Even => is_even,
                PortRequest::EvenAndReserveNext => is_even && self.is_free(next(port)),
                PortRequest::Reserved(_) | PortRequest::Lent { .. } => false,
            }
    }

    fn can_fit(&self, request: PortRequest) -> bool {
        self.ports.iter().any(|port| self.fits(request, port))
    }

    fn reserve(&mut self, now: Timestamp, record: &Record) {
        assert_eq!(record.token.is_some(), record.request == PortRequest::EvenAndReserveNext);
        let Some(token) = record.token else { return };
        assert!(self.reservations.iter().all(|other| other.token != token));
        self.reservations.push(Reservation {
            token,
            port: next(record.port),
            username: record.username.clone(),
            families: record.families.iter().map(|(family, _)| *family).collect(),
            expires_at: now + RESERVATION_LIFETIME,
        });
    }

    pub(super) fn allocate(
        &mut self,
        now: Timestamp,
        new: NewAllocation<'_>,
        made: Result<&Allocation, AllocateError>,
    ) {
        self.handle_timeout(now);
        if let Some(existing) = self.allocations.iter().find(|other| other.five_tuple == new.five_tuple) {
            assert_eq!(made.map(Allocation::id), Err(AllocateError::AlreadyAllocated(existing.id)));
            return;
        }
        let mut families: Vec<_> = new.families.iter().collect();
        if let PortRequest::Reserved(token) = new.port {
            let Some(at) = self
                .reservations
                .iter()
                .position(|reservation| reservation.token == token && reservation.username == new.credential.user_id)
            else {
                assert_eq!(made.map(Allocation::id), Err(AllocateError::UnknownReservation));
                return;
            };
            let reservation = self.reservations.remove(at);
            families = reservation.families;
            assert_eq!(made.map(Allocation::port), Ok(reservation.port));
        } else {
            let limit = MAX_RESERVATIONS_PER_USER;
            let held =
                self.reservations.iter().filter(|reservation| reservation.username == new.credential.user_id).count();
            if new.port == PortRequest::EvenAndReserveNext && held >= usize::from(limit) {
                assert_eq!(made.map(Allocation::id), Err(AllocateError::TooManyReservations { limit }));
                return;
            }
            if !self.can_fit(new.port) {
                assert_eq!(made.map(Allocation::id), Err(AllocateError::NoFreePort));
                return;
            }
        }
        let made = made.unwrap();
        if !matches!(new.port, PortRequest::Reserved(_)) {
            assert!(self.fits(new.port, made.port()), "{} does not fit", made.port());
        }
        let record = Record {
            id: made.id(),
            five_tuple: new.five_tuple,
            username: new.credential.user_id.to_owned(),
            transaction_id: new.transaction_id,
            port: made.port(),
            request: new.port,
            tried: 1,
            families: families.into_iter().map(|family| (family, now + new.lifetime)).collect(),
            token: made.reservation(),
            lifetime: new.lifetime,
            channels: Vec::new(),
            permissions: Vec::new(),
        };
        self.reserve(now, &record);
        self.allocations.push(record);
    }

    pub(super) fn retry_port(
        &mut self,
        now: Timestamp,
        id: AllocationId,
        result: Result<(AllocationPort, Option<ReservationToken>), &RetryPortError>,
    ) {
        self.handle_timeout(now);
        let Some(at) = self.allocations.iter().position(|allocation| allocation.id == id) else {
            assert!(matches!(result, Err(RetryPortError::UnknownAllocation(UnknownAllocation(other))) if *other == id));
            return;
        };
        let mut record = self.allocations.remove(at);
        self.quarantine.push((record.port, now + PORT_QUARANTINE));
        self.reservations.retain(|reservation| Some(reservation.token) != record.token);
        if record.tried == MAX_PORTS_TRIED || !self.can_fit(record.request) {
            assert!(matches!(result, Err(RetryPortError::NoFreePort(_))));
            return;
        }
        let (port, token) = result.unwrap();
        assert!(self.fits(record.request, port), "{port} does not fit");
        record.port = port;
        record.token = token;
        record.tried += 1;
        self.reserve(now, &record);
        self.allocations.insert(at, record);
    }

    fn get_mut(&mut self, id: AllocationId) -> Result<&mut Record, UnknownAllocation> {
        self.allocations.iter_mut().find(|allocation| allocation.id == id).ok_or(UnknownAllocation(id))
    }

    pub(super) fn refresh(
        &mut self,
        now: Timestamp,
        id: AllocationId,
        only: Option<Family>,
        lifetime: Duration,
    ) -> Result<Timestamp, UnknownAllocation> {
        self.handle_timeout(now);
        let allocation = self.get_mut(id)?;
        allocation.lifetime = lifetime;
        for (family, at) in &mut allocation.families {
            if only.is_none() || only == Some(*family) {
                *at = now + lifetime;
            }
        }
        Ok(now + lifetime)
    }

    /// What was removed: nothing, everything, or the channels with these numbers.
    pub(super) fn remove_family(&mut self, id: AllocationId, family: Family) -> Option<Option<Vec<ChannelNumber>>> {
        let allocation = self.get_mut(id).ok()?;
        let before = allocation.families.len();
        allocation.families.retain(|(other, _)| *other != family);
        if allocation.families.len() == before {
            return None;
        }
        if allocation.families.is_empty() {
            self.remove(id);
            return Some(None);
        }
        let numbers = allocation.numbers_of(family);
        allocation.channels.retain(|(number, ..)| !numbers.contains(number));
        for at in (0..allocation.permissions.len()).rev() {
            if Family::of(allocation.permissions[at].0) == family {
                allocation.permissions.swap_remove(at);
            }
        }
        Some(Some(numbers))
    }

    pub(super) fn remove(&mut self, id: AllocationId) -> bool {
        let before = self.allocations.len();
        self.allocations.retain(|allocation| allocation.id != id);
        self.allocations.len() < before
    }

    pub(super) fn bind_channel(
        &mut self,
        now: Timestamp,
        id: AllocationId,
        number: ChannelNumber,
        peer: PeerSocket,
    ) -> Result<Bound, BindError> {
        self.handle_timeout(now);
        let Limits { channels_per_allocation: limit, channels: in_all, .. } = self.limits;
        let count: usize = self.allocations.iter().map(|allocation| allocation.channels.len()).sum();
        let expires_at = now + CHANNEL_BINDING_LIFETIME;
        let channels = &mut self.get_mut(id)?.channels;
        for (other_number, other_peer, other_expires_at, bound) in channels.iter_mut() {
            match (*other_number == number, *other_peer == peer) {
                (true, true) => {
                    *other_expires_at = expires_at;
                    return Ok(if std::mem::replace(bound, true) { Bound::Refreshed } else { Bound::Rebound });
                }
                (true, false) => return Err(BindError::ChannelInUse),
                (false, _) => {}
            }
        }
        if channels.iter().any(|(_, other, ..)| *other == peer) {
            return Err(BindError::PeerHasAnotherChannel);
        }
        if channels.len() >= usize::from(limit) {
            return Err(BindError::TooManyChannels { limit });
        }
        if count >= in_all as usize {
            return Err(BindError::NoChannelLeft { limit: in_all });
        }
        channels.push((number, peer, expires_at, true));
        Ok(Bound::New)
    }

    pub(super) fn permit(
        &mut self,
        now: Timestamp,
        id: AllocationId,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<Vec<Permitted>, PermitError> {
        self.handle_timeout(now);
        let Limits { permissions_per_allocation: limit, permissions: in_all, .. } = self.limits;
        let count: usize = self.allocations.iter().map(|allocation| allocation.permissions.len()).sum();
        let permissions = &mut self.get_mut(id)?.permissions;
        let known = |permissions: &[(IpAddr, Timestamp)], address: &IpAddr| {
            permissions.iter().position(|(other, _)| other == address)
        };
        let new = addresses.iter().filter(|address| known(permissions, address).is_none()).count();
        if permissions.len() + new > usize::from(limit) {
            return Err(PermitError::TooManyPermissions { limit });
        }
        if count + new > in_all as usize {
            return Err(PermitError::NoPermissionLeft { limit: in_all });
        }
        let expires_at = now + PERMISSION_LIFETIME;
        let permit = addresses.iter().map(|address| {
            if let Some(at) = known(permissions, address) {
                permissions[at].1 = expires_at;
                return Permitted::Refreshed;
            }
            permissions.push((*address, expires_at));
            Permitted::New
        });
        Ok(permit.collect())
    }

    pub(super) fn permitted_to_send(
        &self,
        five_tuple: FiveTuple,
        address: IpAddr,
    ) -> Result<AllocationId, PermissionError> {
        let allocation = self
            .allocations
            .iter()
            .find(|allocation| allocation.five_tuple == five_tuple)
            .ok_or(PermissionError::NoAllocation)?;
        let permitted = allocation.permissions.iter().any(|(other, _)| *other == address);
        permitted.then_some(allocation.id).ok_or(PermissionError::NoPermission)
    }

    pub(super) fn to_client(
        &self,
        port: AllocationPort,
        peer: PeerSocket,
    ) -> Result<(AllocationId, ToClient), PeerChannelError> {
        let allocation =
            self.allocations.iter().find(|allocation| allocation.port == port).ok_or(PeerChannelError::UnknownPort)?;
        if let Ok((id, number)) = self.peer_channel(port, peer) {
            return Ok((id, ToClient::Channel(number)));
        }
        let permitted = allocation.permissions.iter().any(|(other, _)| *other == peer.address().ip());
        permitted.then_some((allocation.id, ToClient::Indication)).ok_or(PeerChannelError::UnknownPeer)
    }

    pub(super) fn channel_peer(
        &self,
        five_tuple: FiveTuple,
        number: ChannelNumber,
    ) -> Result<(AllocationId, PeerSocket), ChannelPeerError> {
        let allocation = self
            .allocations
            .iter()
            .find(|allocation| allocation.five_tuple == five_tuple)
            .ok_or(ChannelPeerError::NoAllocation)?;
        let channel = allocation.channels.iter().find(|(other, _, _, bound)| *other == number && *bound);
        channel.map(|(_, peer, ..)| (allocation.id, *peer)).ok_or(ChannelPeerError::NoChannel)
    }

    pub(super) fn peer_channel(
        &self,
        port: AllocationPort,
        peer: PeerSocket,
    ) -> Result<(AllocationId, ChannelNumber), PeerChannelError> {
        let allocation =
            self.allocations.iter().find(|allocation| allocation.port == port).ok_or(PeerChannelError::UnknownPort)?;
        let channel = allocation.channels.iter().find(|(_, other, _, bound)| *other == peer && *bound);
        channel.map(|(number, ..)| (allocation.id, *number)).ok_or(PeerChannelError::UnknownPeer)
    }

    pub(super) fn of_username(&self, username: &str) -> impl Iterator<Item = AllocationId> {
        self.allocations
            .iter()
            .filter(move |allocation| allocation.username == username)
            .map(|allocation| allocation.id)
    }
}

fn next(port: AllocationPort) -> AllocationPort {
    AllocationPort::new(port.get() + 1)
}
