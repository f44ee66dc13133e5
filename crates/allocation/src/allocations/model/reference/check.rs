//! Compares the allocations that were found with those of the model.

use super::{Model, Record};
use crate::{Allocation, AllocationId};

impl Model {
    pub(in crate::allocations::model) fn assert_same_id(
        &self,
        matches: impl Fn(&Record) -> bool,
        found: Option<&Allocation>,
    ) {
        let expected = self.allocations.iter().find(|allocation| matches(allocation));
        assert_eq!(found.map(Allocation::id), expected.map(|allocation| allocation.id));
    }

    pub(in crate::allocations::model) fn assert_same(&self, id: AllocationId, found: Option<&Allocation>) {
        let expected = self.allocations.iter().find(|allocation| allocation.id == id);
        assert_eq!(found.is_some(), expected.is_some(), "{id}");
        let (Some(found), Some(expected)) = (found, expected) else { return };
        assert_eq!(found.id(), expected.id);
        assert_eq!(found.five_tuple(), expected.five_tuple);
        assert_eq!(**found.owner().user_id(), *expected.username);
        assert_eq!(found.transaction_id(), expected.transaction_id);
        assert_eq!(found.port(), expected.port);
        let families = found.families().iter().map(|family| (family, found.family_expires_at(family).unwrap()));
        assert_eq!(families.collect::<Vec<_>>(), expected.families);
        assert_eq!(found.reservation(), expected.token);
        let expires_at = expected.families.iter().map(|(_, at)| *at).max();
        assert_eq!((found.lifetime(), Some(found.expires_at())), (expected.lifetime, expires_at));
        let mut channels: Vec<_> = found
            .channels()
            .iter()
            .map(|channel| (channel.number(), channel.peer(), channel.expires_at(), channel.is_bound()))
            .collect();
        channels.sort_unstable();
        let permissions = expected.permissions.iter().copied();
        let mut expected = expected.channels.clone();
        expected.sort_unstable();
        assert_eq!(channels, expected);
        let found = found.permissions().iter().map(|permission| (permission.address(), permission.expires_at()));
        assert!(found.eq(permissions));
    }
}
