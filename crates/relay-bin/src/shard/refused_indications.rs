//! Logs, once for each allocation, that its client relies on Send indications, which are off.

use std::collections::BTreeSet;

use relay_server::{AllocationId, Event};

use crate::option_names::INDICATIONS;

/// The live allocations for which it was logged.
#[derive(Debug, Default)]
pub(super) struct RefusedIndications(BTreeSet<AllocationId>);

impl RefusedIndications {
    /// Logs the first dropped Send indication of an allocation.
    pub(super) fn record(&mut self, event: &Event) {
        match event {
            Event::IndicationsAreOff { id } if self.0.insert(*id) => tracing::warn!(
                allocation = %id,
                "a client sends data in Send indications, as browsers do, and they are dropped: turn them on with \
                 {INDICATIONS} on"
            ),
            Event::AllocationRemoved { id, .. } => _ = self.0.remove(id),
            _ => {}
        }
    }
}
