//! The table of instruments, from which OTLP, Prometheus text and docs/metrics.md are made. The names are an interface: dashboards
//! and alerts depend on them.

mod process;
mod relaying;

use self::{process::PROCESS, relaying::RELAYING};
use super::instrument::Instrument;

/// All instruments.
pub(super) fn instruments() -> impl Iterator<Item = &'static Instrument> {
    RELAYING.iter().chain(PROCESS)
}

#[cfg(test)]
#[path = "instruments_tests.rs"]
pub(super) mod tests;
