//! The description of an instrument.

use super::{observer::Snapshot, points::Points};

/// The kind of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows while the relay runs.
    Counter,
    /// Goes up and down. Its sum over relays is meaningful.
    UpDownCounter,
    /// A state. Its sum is not meaningful.
    Gauge,
    /// The number of values in each range.
    Histogram,
}

/// A figure that the relay publishes.
pub(super) struct Instrument {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// In UCUM: `By` for bytes, `{packet}` for packets. Not `1`: collectors turn it into a suffix `_ratio`.
    pub(super) unit: &'static str,
    pub(super) description: &'static str,
    /// The attributes of its points, with a description of their values.
    #[cfg_attr(not(test), expect(dead_code, reason = "for docs/metrics.md, which a test compares"))]
    pub(super) attributes: &'static [(&'static str, &'static str)],
    pub(super) read: fn(&Snapshot) -> Points,
}
