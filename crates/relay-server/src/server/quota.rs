//! Limits on the number of allocations that hold for all shards together.

use std::sync::Arc;

use allocation::Allocation;

use crate::{ClientPrefix, Output, QuotaHolder, Server, pending_allocation::Claims};

impl Server {
    /// The next quota that `allocation` must be counted in, and its limit.
    pub(super) fn next_claim(&self, claims: Claims, allocation: &Allocation) -> Option<(QuotaHolder, u32)> {
        if !claims.user
            && let Some(limit) = self.limit_on_all_shards(allocation.owner().user_id())
        {
            return Some((user_of(allocation), limit));
        }
        if claims.prefix {
            return None;
        }
        self.config.allocations_per_prefix.map(|limit| (prefix_of(allocation), limit.get()))
    }

    /// All quotas that an open allocation is counted in.
    pub(super) fn claims_of(&self, allocation: &Allocation) -> Claims {
        Claims {
            user: self.limit_on_all_shards(allocation.owner().user_id()).is_some(),
            prefix: self.config.allocations_per_prefix.is_some(),
        }
    }

    /// Stops counting `allocation` in its quotas.
    pub(super) fn release_claims(&mut self, allocation: &Allocation, claims: Claims) {
        if claims.user {
            self.outputs.push_back(Output::ReleaseQuota { holder: user_of(allocation) });
        }
        if claims.prefix {
            self.outputs.push_back(Output::ReleaseQuota { holder: prefix_of(allocation) });
        }
    }
}

fn user_of(allocation: &Allocation) -> QuotaHolder {
    QuotaHolder::User(Arc::clone(allocation.owner().user_id()))
}

fn prefix_of(allocation: &Allocation) -> QuotaHolder {
    QuotaHolder::Prefix(ClientPrefix::of(allocation.five_tuple().client.address().ip()))
}
