//! Requests for an allocation that exists: Refresh, ChannelBind and CreatePermission.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use relay_server::{Family, FiveTuple, Limits, Timestamp};

use super::{Allocation, Channel, Reference};
use crate::cast;

impl Reference {
    /// RFC 8656, section 8.2. Returns the granted lifetime.
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
        let (indications, room) = (self.config.indications, self.room());
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
        let addresses = BTreeSet::from([peer.ip()]);
        if indications {
            allocation.can_permit(&addresses, room)?;
        }
        if allocation.channels.iter().any(|channel| (channel.number == number) != (channel.peer == peer)) {
            return Err(400);
        }
        let is_new = allocation.channels.iter().all(|channel| channel.number != number);
        if is_new && (allocation.channels.len() >= usize::from(room.channels_per_allocation) || room.channels == 0) {
            return Err(508);
        }
        let expires_at = now + Duration::from_secs(600);
        allocation.channels.retain(|channel| channel.number != number);
        allocation.channels.push(Channel { number, peer, expires_at, bound: true });
        // ChannelBind also installs a permission.
        if indications { allocation.permit(now, &addresses, room) } else { Ok(()) }
    }

    /// RFC 8656, section 10.2.
    pub(crate) fn permit(
        &mut self,
        now: Timestamp,
        (five_tuple, user): (FiveTuple, usize),
        peers: &[SocketAddr],
    ) -> Result<(), u16> {
        let (indications, room) = (self.config.indications, self.room());
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
        let addresses = peers.iter().map(SocketAddr::ip).collect();
        if indications { allocation.permit(now, &addresses, room) } else { Ok(()) }
    }

    /// How many more channels and permissions all allocations together may have.
    fn room(&self) -> Limits {
        let count = |of: fn(&Allocation) -> usize| self.allocations.iter().map(of).sum::<usize>();
        let (channels, permissions) = (count(|one| one.channels.len()), count(|one| one.permissions.len()));
        let limits = self.config.limits;
        Limits {
            channels: limits.channels - u32::try_from(channels).unwrap(),
            permissions: limits.permissions - u32::try_from(permissions).unwrap(),
            ..limits
        }
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

impl Allocation {
    /// RFC 8656, section 9. Installs permissions for all of `addresses`, or for none.
    fn permit(&mut self, now: Timestamp, addresses: &BTreeSet<IpAddr>, room: Limits) -> Result<(), u16> {
        self.can_permit(addresses, room)?;
        self.permissions.retain(|(address, _)| !addresses.contains(address));
        self.permissions.extend(addresses.iter().map(|address| (*address, now + Duration::from_secs(300))));
        Ok(())
    }

    fn can_permit(&self, addresses: &BTreeSet<IpAddr>, room: Limits) -> Result<(), u16> {
        let others = self.permissions.iter().filter(|(address, _)| !addresses.contains(address)).count();
        let after = others + addresses.len();
        let new = after - self.permissions.len();
        let fits = after <= usize::from(room.permissions_per_allocation) && new <= room.permissions as usize;
        if fits { Ok(()) } else { Err(508) }
    }
}
