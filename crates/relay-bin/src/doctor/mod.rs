//! `firezone-relay doctor`: checks what this machine can do for a relay, and advises what to change.
//!
//! It only reads files in `/proc` and `/sys` that anybody may read. It opens no socket, loads no program and changes nothing.

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

/// Runs all checks.
pub(crate) fn examine(system: &System, needs: &Needs) -> Report {
    let mut report = Report::default();
    limits::examine(system, needs, &mut report);
    network::examine(system, needs, &mut report);
    kernel_path::examine(system, needs, &mut report);
    interfaces::examine(system, needs, &mut report);
    report
}
