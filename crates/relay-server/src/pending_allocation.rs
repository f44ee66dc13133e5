//! An allocation that is being opened: its quotas are claimed and its sockets bound before the client gets a response.

use serde::{Deserialize, Serialize};

use crate::{Families, Family, requester::Requester};

/// The quotas of all shards together that an allocation is counted in ([`Output::ClaimQuota`](crate::Output::ClaimQuota)).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// The quota of its user.
    pub(crate) user: bool,
    /// The quota of its client's network.
    pub(crate) prefix: bool,
}

/// An Allocate request without a response yet.
#[derive(Debug)]
pub(crate) struct PendingAllocation {
    pub(crate) requester: Requester,
    /// Whether the client asked for both families. It gets one if only one socket can be opened.
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
