//! Allocations whose relay sockets are being opened: the client hears of success only when they are.

use std::sync::Arc;

use crate::{
    AllocationId, Event, Family, Output, Rejection, RelayOpenError, Server, Timestamp, UsernameLimit,
    family::{FamilySet, families},
    request::Asker,
};

/// An Allocate request on its way to an answer.
#[derive(Debug)]
pub(crate) struct Opening {
    asker: Asker,
    /// Whether both families were asked for, so that one is better than none.
    dual_stack: bool,
    opened: FamilySet,
}

impl Opening {
    pub(crate) fn new(asker: Asker, dual_stack: bool) -> Self {
        Self { asker, dual_stack, opened: FamilySet::default() }
    }

    /// The families whose sockets are open already.
    pub(crate) const fn opened(&self) -> FamilySet {
        self.opened
    }
}

impl Server {
    /// Asks for the next relay socket that `id` lacks, or tells its client of success when it lacks none.
    ///
    /// One socket at a time, so that every answer belongs to the one question that is open.
    pub(crate) fn continue_opening(&mut self, id: AllocationId) {
        let (Some(opening), Some(allocation)) = (self.openings.get(&id), self.allocations.get(id)) else {
            return;
        };
        let port = allocation.port();
        match families(allocation).iter().find(|family| !opening.opened.contains(*family)) {
            Some(family) => self.outputs.push_back(Output::OpenRelay { id, port, family }),
            None => self.finish_opening(id),
        }
    }

    pub(crate) fn relay_opened(
        &mut self,
        now: Timestamp,
        id: AllocationId,
        family: Family,
        result: Result<(), RelayOpenError>,
    ) {
        let Some(opening) = self.openings.get_mut(&id) else {
            return;
        };
        match result {
            Ok(()) => opening.opened.set(family, true),
            Err(RelayOpenError::PortInUse) => {
                self.close_opened(id);
                if self.allocations.retry_port(now, id).is_err() {
                    return self.abandon_opening(id, Rejection::NoFreePort);
                }
            }
            Err(_) => return self.abandon_opening(id, Rejection::RelayNotOpened),
        }
        self.continue_opening(id);
    }

    fn finish_opening(&mut self, id: AllocationId) {
        let Some(opening) = self.openings.remove(&id) else {
            return;
        };
        let Some(allocation) = self.allocations.get(id) else {
            return;
        };
        let username = Arc::clone(allocation.username());
        let created = Event::AllocationCreated {
            id,
            five_tuple: allocation.five_tuple(),
            username: Arc::clone(&username),
            port: allocation.port(),
            v4: allocation.v4(),
            v6: allocation.v6(),
            lifetime: allocation.lifetime(),
        };
        if self.config.username_limit == UsernameLimit::ReplaceOldest {
            self.remove_of_username(&username, Some(id));
        }
        self.answer_allocate(&opening.asker, id, opening.dual_stack);
        self.emit(created);
    }

    fn abandon_opening(&mut self, id: AllocationId, rejection: Rejection) {
        self.close_opened(id);
        if let Some(opening) = self.openings.remove(&id) {
            self.reject(&opening.asker, rejection);
        }
        self.allocations.remove(id);
    }

    fn close_opened(&mut self, id: AllocationId) {
        let (Some(opening), Some(allocation)) = (self.openings.get_mut(&id), self.allocations.get(id)) else {
            return;
        };
        let port = allocation.port();
        for family in std::mem::take(&mut opening.opened).iter() {
            self.outputs.push_back(Output::CloseRelay { id, port, family });
        }
    }
}
