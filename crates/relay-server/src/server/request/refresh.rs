//! Handles Refresh requests.

use std::time::Duration;

use stun_msg::{Refresh, Response};

use crate::{AllocationId, Event, Rejection, RemovalReason, Server, Timestamp, family, lifetime, requester::Requester};

impl Server {
    /// [RFC 8656, section 8.2](https://www.rfc-editor.org/rfc/rfc8656#section-8.2).
    pub(crate) fn handle_refresh(
        &mut self,
        now: Timestamp,
        requester: &Requester,
        id: AllocationId,
        request: &Refresh,
    ) -> Result<(), Rejection> {
        let allocation = self.allocations.get(id).ok_or(Rejection::NoAllocation)?;
        let only = match request.requested_family {
            None => None,
            Some(code) => Some(
                family::from_code(code)
                    .filter(|family| allocation.families().contains(*family))
                    .ok_or(Rejection::FamilyMismatch)?,
            ),
        };
        let lifetime = lifetime::of_refresh(request.lifetime);
        match only {
            _ if lifetime > Duration::ZERO => {
                self.allocations.refresh(now, id, only, lifetime).map_err(|_| Rejection::NoAllocation)?;
                self.emit(Event::AllocationRefreshed { id, family: only, lifetime });
            }
            Some(family) => self.remove_family(id, family, RemovalReason::Deleted),
            None => self.remove_allocation(id, RemovalReason::Deleted),
        }
        // Last: after the response, nothing may be relayed, not even by a faster data path.
        self.succeed(requester, Response::refresh_success(requester.transaction, lifetime));
        Ok(())
    }
}
