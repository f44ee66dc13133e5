//! What this machine can do for a relay, and what to change: `firezone-relay doctor`.
//!
//! Everything is read from `/proc` and `/sys`, which anybody may read: nothing is opened, loaded or changed.

mod interfaces;
mod kernel_path;
mod limits;
mod needs;
mod network;
mod report;
mod system;

#[cfg(test)]
mod tests;

pub(crate) use self::{
    needs::{KernelPath, Needs},
    report::Report,
    system::System,
};

/// Looks at everything.
pub(crate) fn examine(system: &System, needs: &Needs) -> Report {
    let mut report = Report::default();
    limits::examine(system, needs, &mut report);
    network::examine(system, needs, &mut report);
    kernel_path::examine(system, needs, &mut report);
    interfaces::examine(system, needs, &mut report);
    report
}
