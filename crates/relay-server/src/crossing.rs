use serde::{Deserialize, Serialize};

use crate::{AllocationPort, ChannelNumber, Family, FiveTuple};

/// A channel that is bound to a relayed transport address of the relay itself, so that data from the allocation at that address
/// need not leave the relay ([RFC 8656, sections 12.6 and 12.7](https://www.rfc-editor.org/rfc/rfc8656#section-12.6)).
///
/// Data from port `from` to port `to`, both at the relay's address of `family`, goes to the client of `five_tuple` in `channel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crossing {
    /// The family of both relayed transport addresses.
    pub family: Family,
    /// The port that the channel is bound to. The data comes from its allocation.
    pub from: AllocationPort,
    /// The port of the allocation that has the channel.
    pub to: AllocationPort,
    /// The 5-tuple of that allocation.
    pub five_tuple: FiveTuple,
    /// The channel.
    pub channel: ChannelNumber,
}
