use std::net::IpAddr;

use super::Allocations;
use crate::{AllocationId, Channel, ChannelNumber, timers::TimerKey};

impl Allocations {
    /// Removes channel `number` of allocation `id`, and returns it. Number and peer can be bound anew at once.
    pub fn revoke_channel(&mut self, id: AllocationId, number: ChannelNumber) -> Option<Channel> {
        let allocation = self.slots.get_mut(id)?;
        let channel = allocation.change_channels(|channels| channels.remove(&self.hash, number))?;
        self.channel_count -= 1;
        self.timers.disarm(channel.timer(id));
        Some(channel)
    }

    /// Removes the permission of allocation `id` for `address`. Returns whether there was one.
    pub fn revoke_permission(&mut self, id: AllocationId, address: IpAddr) -> bool {
        let permissions = self.slots.get(id).and_then(|allocation| allocation.channels.permissions());
        let found = permissions.and_then(|permissions| {
            let at = permissions.position(&self.hash, address)?;
            Some((at, permissions.as_slice().get(usize::from(at))?.expires_at))
        });
        let Some((at, expires_at)) = found else { return false };
        self.timers.disarm((expires_at, TimerKey::Permission(id, at)));
        self.remove_permission(id, at).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::{
        Bound, PortRange, PortRequest,
        testing::{T0, five_tuple, number, peer, request},
    };

    #[test]
    fn what_is_revoked_is_gone_at_once_and_its_timers_with_it() {
        let mut allocations = Allocations::new(PortRange::DYNAMIC, [1; 32]);
        let id = allocations.allocate(T0, request(1, PortRequest::Any)).unwrap().id();
        let timers = allocations.timers.iter().count();
        let addresses: BTreeSet<_> = (0..20).map(|last| IpAddr::from([198, 51, 100, last])).collect();
        allocations.permit(T0, id, &addresses).unwrap();
        for both in 0..20 {
            allocations.bind_channel(T0, id, number(both), peer(both)).unwrap();
        }
        for both in 0..20 {
            assert_eq!(allocations.revoke_channel(id, number(both)).map(|channel| channel.peer()), Some(peer(both)));
            assert!(allocations.revoke_channel(id, number(both)).is_none());
            assert!(allocations.channel_peer(&five_tuple(1), number(both)).is_err());
            allocations.assert_consistent();
        }
        for address in &addresses {
            assert!(allocations.revoke_permission(id, *address));
            assert!(!allocations.revoke_permission(id, *address));
            assert!(allocations.permitted_to_send(&five_tuple(1), *address).is_err());
            allocations.assert_consistent();
        }
        assert_eq!(allocations.timers.iter().count(), timers);
        assert_eq!(allocations.bind_channel(T0, id, number(0), peer(1)), Ok(Bound::New), "both are free");
        allocations.handle_timeout(T0 + Duration::from_secs(24 * 3600));
        allocations.assert_empty();
    }
}
