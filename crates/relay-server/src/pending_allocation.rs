//! An allocation whose sockets are being opened.

use crate::{Families, Family, requester::Requester};

/// An Allocate request on its way to an answer.
#[derive(Debug)]
pub(crate) struct PendingAllocation {
    pub(crate) requester: Requester,
    /// Whether both families were asked for, so that one is better than none.
    pub(crate) dual_stack: bool,
    /// Whether the allocation counts against its user's limit on all shards, as [`Output::ClaimQuota`](crate::Output::ClaimQuota) asks.
    pub(crate) is_claimed: bool,
    pub(crate) opened: Option<Families>,
}

impl PendingAllocation {
    pub(crate) const fn new(requester: Requester, dual_stack: bool) -> Self {
        Self { requester, dual_stack, is_claimed: false, opened: None }
    }

    pub(crate) fn has_opened(&self, family: Family) -> bool {
        self.opened.is_some_and(|opened| opened.contains(family))
    }
}
