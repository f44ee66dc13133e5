use std::{collections::BTreeSet, net::IpAddr};

use super::Allocations;
use crate::{
    AllocationId, Expired, Family, MAX_PERMISSIONS, PERMISSION_LIFETIME, Permission, PermitError, Timestamp,
    UnknownAllocation, timers::TimerKey,
};

/// What permitting an address did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permitted {
    /// The permission is new.
    New,
    /// The permission was there already and now lasts longer.
    Refreshed,
}

impl Allocations {
    /// Installs or refreshes permissions of allocation `id` for all of `addresses`, or for none, for
    /// [`PERMISSION_LIFETIME`] from now, and tells for each address, in their order, what that did.
    ///
    /// [RFC 8656, section 10.2](https://www.rfc-editor.org/rfc/rfc8656#section-10.2)
    ///
    /// # Errors
    ///
    /// When the allocation would have more than [`MAX_PERMISSIONS`], or there is no such allocation.
    pub fn permit(
        &mut self,
        now: Timestamp,
        id: AllocationId,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<Vec<Permitted>, PermitError> {
        self.handle_timeout(now);
        self.can_permit(id, addresses)?;
        Ok(addresses.iter().filter_map(|address| self.permit_one(now, id, *address)).collect())
    }

    /// Whether allocation `id` may have permissions for all of `addresses` beside those that it has.
    ///
    /// # Errors
    ///
    /// Those of [`Self::permit`].
    pub fn can_permit(&self, id: AllocationId, addresses: &BTreeSet<IpAddr>) -> Result<(), PermitError> {
        let allocation = self.slots.get(id).ok_or(UnknownAllocation(id))?;
        let new = addresses.iter().filter(|address| !allocation.is_permitted(&self.hash, **address)).count();
        let limit = MAX_PERMISSIONS;
        if allocation.permissions().len() + new > usize::from(limit) {
            return Err(PermitError::TooManyPermissions { limit });
        }
        Ok(())
    }

    fn permit_one(&mut self, now: Timestamp, id: AllocationId, address: IpAddr) -> Option<Permitted> {
        let allocation = self.slots.get_mut(id)?;
        let expires_at = now + PERMISSION_LIFETIME;
        let hash = &self.hash;
        let known = allocation.channels.permissions().and_then(|permissions| permissions.position(hash, address));
        if let Some(at) = known {
            let before = allocation.change_permissions(|permissions| permissions.renew(at, expires_at))?;
            let key = TimerKey::Permission(id, at);
            self.timers.rearm((before, key), (expires_at, key));
            return Some(Permitted::Refreshed);
        }
        let permission = Permission { address, expires_at };
        let at = allocation.change_permissions(|permissions| permissions.insert(hash, permission));
        self.timers.arm((expires_at, TimerKey::Permission(id, at)));
        Some(Permitted::New)
    }

    /// The time of a permission is up, and its timer is gone.
    pub(super) fn expire_permission(&mut self, id: AllocationId, at: u16) {
        if let Some(permission) = self.remove_permission(id, at) {
            self.expired.push_back(Expired::PermissionExpired { id, address: permission.address });
        }
    }

    /// Removes the permissions of allocation `id` for peers of `family`.
    pub(super) fn remove_permissions_of(&mut self, id: AllocationId, family: Family) {
        let Some(allocation) = self.slots.get(id) else { return };
        let of_family = |(_, permission): &(u16, &Permission)| Family::of(permission.address) == family;
        let permissions = (0..).zip(allocation.permissions()).filter(of_family);
        // From the last to the first: what takes a position then is not to be removed.
        let positions: Vec<_> = permissions.map(|(at, permission)| (at, permission.expires_at)).collect();
        for (at, expires_at) in positions.into_iter().rev() {
            self.timers.disarm((expires_at, TimerKey::Permission(id, at)));
            self.remove_permission(id, at);
        }
    }

    /// Removes a permission whose timer is not armed any more.
    fn remove_permission(&mut self, id: AllocationId, at: u16) -> Option<Permission> {
        let allocation = self.slots.get_mut(id)?;
        let removed = allocation.change_permissions(|permissions| permissions.remove(&self.hash, at))?;
        if let Some((moved, from)) = removed.moved {
            let timer = |at| (moved.expires_at, TimerKey::Permission(id, at));
            self.timers.rearm(timer(from), timer(at));
        }
        Some(removed.permission)
    }
}
