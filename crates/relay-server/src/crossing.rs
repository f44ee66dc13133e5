use serde::{Deserialize, Serialize};

use crate::{AllocationPort, ChannelNumber, Family, FiveTuple};

/// A channel that is bound to a relayed transport address of the relay itself: what the allocation there sends back need not go out
/// and come in again ([RFC 8656, sections 12.6 and 12.7](https://www.rfc-editor.org/rfc/rfc8656#section-12.6)).
///
/// Data from port `from` to port `to`, both of the relay's address of `family`, arrives at the client of `five_tuple` in `channel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crossing {
    /// Of both relayed transport addresses.
    pub family: Family,
    /// The port that the channel is bound to, and data comes from.
    pub from: AllocationPort,
    /// The port of the allocation that has the channel.
    pub to: AllocationPort,
    /// The 5-tuple of that allocation.
    pub five_tuple: FiveTuple,
    /// The channel.
    pub channel: ChannelNumber,
}
