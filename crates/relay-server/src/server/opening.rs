//! Opens allocations: claims quotas, opens relay sockets, and then sends the success response.

use std::sync::Arc;

use allocation::{Allocation, RetryPortError};

use crate::{
    AllocationId, Event, Families, Family, Output, QuotaHolder, Rejection, RelayOpenError, Server, ShardMessage,
    Timestamp, UsernameLimit, borrowings::Borrow, pending_allocation::PendingAllocation,
};

impl Server {
    /// Requests the next step for allocation `id`: each quota claim, then each relay socket. Sends the success response when no
    /// step is left.
    ///
    /// One step at a time, so that a result always belongs to the only step under way.
    pub(crate) fn continue_opening(&mut self, id: AllocationId) {
        let (Some(pending), Some(allocation)) = (self.pending.get(&id), self.allocations.get(id)) else {
            return;
        };
        let port = allocation.port();
        if let Some((holder, limit)) = self.next_claim(pending.claims, allocation) {
            return self.outputs.push_back(Output::ClaimQuota { id, holder, limit });
        }
        match allocation.families().iter().find(|family| !pending.has_opened(*family)) {
            Some(family) => {
                let own_client = self.own_client(allocation.five_tuple().client.address());
                self.outputs.push_back(Output::OpenRelay { id, port, family, own_client });
            }
            None => self.finish_opening(id),
        }
    }

    pub(crate) fn quota_claimed(&mut self, id: AllocationId, holder: QuotaHolder, is_granted: bool) {
        match self.pending.get_mut(&id) {
            Some(pending) if is_granted => {
                match holder {
                    QuotaHolder::User(_) => pending.claims.user = true,
                    QuotaHolder::Prefix(_) => pending.claims.prefix = true,
                }
                self.continue_opening(id);
            }
            Some(_) => {
                if let Some(token) = self.allocations.get(id).and_then(Allocation::reservation) {
                    self.allocations.cancel_reservation(token);
                }
                let rejection = match holder {
                    QuotaHolder::User(_) => Rejection::QuotaReached,
                    QuotaHolder::Prefix(_) => Rejection::PrefixQuotaReached,
                };
                self.abandon_opening(id, rejection);
            }
            None if is_granted => self.outputs.push_back(Output::ReleaseQuota { holder }),
            None => {}
        }
    }

    pub(crate) fn relay_opened(
        &mut self,
        now: Timestamp,
        id: AllocationId,
        family: Family,
        result: Result<(), RelayOpenError>,
    ) {
        let Some(pending) = self.pending.get_mut(&id) else {
            return;
        };
        let families = self.allocations.get(id).map(Allocation::families);
        match result {
            Ok(()) => {
                pending.opened = Some(pending.opened.map_or(Families::Only(family), |opened| opened.with(family)));
            }
            Err(RelayOpenError::PortInUse) => {
                self.close_opened(id);
                let retried = self.allocations.retry_port(now, id);
                self.return_ports();
                if let Err(RetryPortError::NoFreePort(allocation)) = retried {
                    return self.borrow_instead(now, &allocation);
                }
            }
            Err(RelayOpenError::OwnClient) => return self.abandon_opening(id, Rejection::ClientIsRelay),
            // One family is better than none. ADDRESS-ERROR-CODE reports the other.
            Err(_) if families == Some(Families::Both) => _ = self.allocations.remove_family(id, family),
            Err(_) => return self.abandon_opening(id, Rejection::RelayNotOpened),
        }
        self.continue_opening(id);
    }

    /// Borrows a port for `allocation`, which is removed: another program holds its port, and this shard has no other.
    fn borrow_instead(&mut self, now: Timestamp, allocation: &Allocation) {
        let Some(PendingAllocation { requester, dual_stack, claims, .. }) = self.pending.remove(&allocation.id())
        else {
            return;
        };
        // The allocation with the borrowed port claims its quotas again.
        self.release_claims(allocation, claims);
        let Some(need) = allocation.port_need() else {
            return self.reject(&requester, Rejection::NoFreePort);
        };
        let request = Borrow {
            requester,
            dual_stack,
            owner: Arc::clone(allocation.owner()),
            lifetime: allocation.lifetime(),
            families: allocation.families(),
            need,
            // `retry_port` has counted one port more than it has found.
            tried: allocation.ports_tried() - 1,
        };
        self.borrow(now, request);
    }

    fn finish_opening(&mut self, id: AllocationId) {
        let Some(pending) = self.pending.remove(&id) else {
            return;
        };
        let Some(allocation) = self.allocations.get(id) else {
            return;
        };
        let owner = allocation.owner();
        let (user_id, created_at) = (Arc::clone(owner.user_id()), allocation.created_at());
        let port = allocation.port();
        let created = Event::AllocationCreated {
            id,
            five_tuple: allocation.five_tuple(),
            username: Arc::clone(owner.username()),
            user_id: Arc::clone(&user_id),
            port,
            families: allocation.families(),
            lifetime: allocation.lifetime(),
        };
        // Other shards must get it before the client's response: the client may go on to any of them.
        let reserved = allocation.reservation().and_then(|token| self.allocations.reserved_port(token));
        if self.config.username_limit == UsernameLimit::ReplaceOldest {
            self.remove_of_user(&user_id, |other| other.id() != id);
        }
        if let Some(limit) = &mut self.bandwidth {
            limit.open(port, &user_id, self.remote_quota.count(&user_id));
        }
        self.emit(created);
        self.tell_of_allocation(user_id, created_at);
        if let Some(reserved) = reserved {
            self.tell_shards(ShardMessage::PortReserved(reserved));
        }
        self.answer_allocate(&pending.requester, id, pending.dual_stack);
    }

    fn abandon_opening(&mut self, id: AllocationId, rejection: Rejection) {
        self.close_opened(id);
        let removed = self.allocations.remove(id);
        if let Some(pending) = self.pending.remove(&id) {
            if let Some(allocation) = removed {
                self.release_claims(&allocation, pending.claims);
            }
            self.reject(&pending.requester, rejection);
        }
        self.return_ports();
    }

    fn close_opened(&mut self, id: AllocationId) {
        let (Some(pending), Some(allocation)) = (self.pending.get_mut(&id), self.allocations.get(id)) else {
            return;
        };
        let port = allocation.port();
        if let Some(opened) = pending.opened.take() {
            self.close_relays(id, port, opened);
        }
    }
}
