use std::time::Duration;

use stun_msg::{Refresh, Response};

use crate::{
    AllocationId, Event, Family, Rejection, RemovalReason, Server, Timestamp, family::families, lifetime,
    request::Asker,
};

impl Server {
    /// [RFC 8656, section 8.2](https://www.rfc-editor.org/rfc/rfc8656#section-8.2).
    pub(crate) fn handle_refresh(
        &mut self,
        now: Timestamp,
        asker: &Asker,
        id: AllocationId,
        request: &Refresh,
    ) -> Result<(), Rejection> {
        let allocation = self.allocations.get(id).ok_or(Rejection::NoAllocation)?;
        if let Some(code) = request.requested_family
            && !Family::from_code(code).is_some_and(|family| families(allocation).contains(family))
        {
            return Err(Rejection::FamilyMismatch);
        }
        let lifetime = lifetime::of_refresh(request.lifetime);
        self.succeed(asker, Response::refresh_success(asker.transaction, lifetime));
        if lifetime == Duration::ZERO {
            self.remove_allocation(id, RemovalReason::Deleted);
        } else {
            self.allocations.refresh(now, id, lifetime).map_err(|_| Rejection::NoAllocation)?;
            self.emit(Event::AllocationRefreshed { id, lifetime });
        }
        Ok(())
    }
}
