//! What an instrument is.

use super::{observer::Snapshot, points::Points};

/// What kind of figure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only ever grows while the relay runs.
    Counter,
    /// Goes up and down; sums over relays make sense.
    UpDownCounter,
    /// A state; sums make no sense.
    Gauge,
    /// How many values fell into which range.
    Histogram,
}

/// One figure that the relay tells.
pub(super) struct Instrument {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// As UCUM writes it: `By` for bytes, `{packet}` for packets. Not `1`, of which collectors make a suffix `_ratio`.
    pub(super) unit: &'static str,
    pub(super) description: &'static str,
    /// The attributes of its points, and what values they have.
    #[cfg_attr(not(test), expect(dead_code, reason = "for docs/metrics.md, which a test compares"))]
    pub(super) attributes: &'static [(&'static str, &'static str)],
    pub(super) read: fn(&Snapshot) -> Points,
}
