//! The table of instruments: OTLP, Prometheus and docs/metrics.md are made from it. Names are an interface: dashboards and
//! alerts depend on them.

mod process;
mod relaying;

use self::{process::PROCESS, relaying::RELAYING};
use super::instrument::Instrument;

/// Every instrument.
pub(super) fn instruments() -> impl Iterator<Item = &'static Instrument> {
    RELAYING.iter().chain(PROCESS)
}

#[cfg(test)]
#[path = "instruments_tests.rs"]
pub(super) mod tests;
