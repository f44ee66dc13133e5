use std::{collections::BTreeSet, net::IpAddr};

use super::Allocations;
use crate::{
    AllocationId, Expired, Family, Limits, PERMISSION_LIFETIME, Permission, PermitError, Timestamp, UnknownAllocation,
    timers::TimerKey,
};

/// What permitting an address did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permitted {
    /// The permission is new.
    New,
    /// The permission was there already, and its lifetime starts again.
    Refreshed,
}

impl Allocations {
    /// Installs or refreshes permissions of allocation `id` for `addresses`, for [`PERMISSION_LIFETIME`] from now: for all of
    /// them, or, on an error, for none. Returns for each address, in order, what that did.
    ///
    /// [RFC 8656, section 10.2](https://www.rfc-editor.org/rfc/rfc8656#section-10.2)
    ///
    /// # Errors
    ///
    /// When a [limit](crate::Limits) on permissions would be exceeded, or there is no such allocation.
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

    /// Whether [`Self::permit`] would succeed.
    ///
    /// # Errors
    ///
    /// Those of [`Self::permit`].
    pub fn can_permit(&self, id: AllocationId, addresses: &BTreeSet<IpAddr>) -> Result<(), PermitError> {
        let allocation = self.slots.get(id).ok_or(UnknownAllocation(id))?;
        let new = addresses.iter().filter(|address| !allocation.is_permitted(&self.hash, **address)).count();
        let Limits { permissions_per_allocation: limit, permissions: in_all, .. } = self.limits;
        if allocation.permissions().len() + new > usize::from(limit) {
            return Err(PermitError::TooManyPermissions { limit });
        }
        if self.permission_count as usize + new > in_all as usize {
            return Err(PermitError::NoPermissionLeft { limit: in_all });
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
        self.permission_count += 1;
        self.timers.arm((expires_at, TimerKey::Permission(id, at)));
        Some(Permitted::New)
    }

    /// Removes a permission that has expired, and whose timer has fired.
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
        // From last to first: the last permission moves into each gap, and is one that stays.
        let positions: Vec<_> = permissions.map(|(at, permission)| (at, permission.expires_at)).collect();
        for (at, expires_at) in positions.into_iter().rev() {
            self.timers.disarm((expires_at, TimerKey::Permission(id, at)));
            self.remove_permission(id, at);
        }
    }

    /// Removes a permission whose timer is no longer armed.
    pub(super) fn remove_permission(&mut self, id: AllocationId, at: u16) -> Option<Permission> {
        let allocation = self.slots.get_mut(id)?;
        let removed = allocation.change_permissions(|permissions| permissions.remove(&self.hash, at))?;
        self.permission_count -= 1;
        if let Some((moved, from)) = removed.moved {
            let timer = |at| (moved.expires_at, TimerKey::Permission(id, at));
            self.timers.rearm(timer(from), timer(at));
        }
        Some(removed.permission)
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::{
        Allocation, PortRange, PortRequest,
        testing::{T0, request},
    };

    fn addresses(last: std::ops::Range<u8>) -> BTreeSet<IpAddr> {
        last.map(|last| IpAddr::from([198, 51, 100, last])).collect()
    }

    #[test]
    fn refuses_one_permission_too_many_of_one_allocation_and_in_all() {
        let limits = Limits { permissions_per_allocation: 3, permissions: 5, ..Limits::default() };
        let mut allocations = Allocations::new(PortRange::DYNAMIC, [1; 32]).with_limits(limits);
        let [first, second] = [1, 2]
            .map(|client| allocations.allocate(T0, request(client, PortRequest::Any)).map(Allocation::id).unwrap());
        let refused = allocations.permit(T0, first, &addresses(0..4));
        assert_eq!(refused, Err(PermitError::TooManyPermissions { limit: 3 }));
        assert_eq!(allocations.permit(T0, first, &addresses(0..3)), Ok(vec![Permitted::New; 3]));
        let refused = allocations.permit(T0, second, &addresses(0..3));
        assert_eq!(refused, Err(PermitError::NoPermissionLeft { limit: 5 }));
        assert_eq!(allocations.permit(T0, second, &addresses(0..2)), Ok(vec![Permitted::New; 2]));
        assert_eq!(allocations.permit(T0, second, &addresses(0..2)), Ok(vec![Permitted::Refreshed; 2]));
        allocations.handle_timeout(T0 + PERMISSION_LIFETIME);
        assert_eq!(allocations.permit(T0 + PERMISSION_LIFETIME, second, &addresses(0..3)).map(|new| new.len()), Ok(3));
        allocations.assert_consistent();
    }
}
