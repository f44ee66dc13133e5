//! An allocation whose sockets are being opened.

use serde::{Deserialize, Serialize};

use crate::{Families, Family, requester::Requester};

/// Which limits for all shards an allocation counts against, as [`Output::ClaimQuota`](crate::Output::ClaimQuota) asked.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// That of its user.
    pub(crate) user: bool,
    /// That of its client's network.
    pub(crate) prefix: bool,
}

/// An Allocate request on its way to an answer.
#[derive(Debug)]
pub(crate) struct PendingAllocation {
    pub(crate) requester: Requester,
    /// Whether both families were asked for, so that one is better than none.
    pub(crate) dual_stack: bool,
    pub(crate) claims: Claims,
    pub(crate) opened: Option<Families>,
}

impl PendingAllocation {
    pub(crate) const fn new(requester: Requester, dual_stack: bool) -> Self {
        Self { requester, dual_stack, claims: Claims { user: false, prefix: false }, opened: None }
    }

    pub(crate) fn has_opened(&self, family: Family) -> bool {
        self.opened.is_some_and(|opened| opened.contains(family))
    }
}
