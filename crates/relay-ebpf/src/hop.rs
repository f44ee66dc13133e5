//! The next hop that was looked up for a flow, as its map entry keeps it.

use crate::{
    host::{Device, Leaving, Link},
    route::Route,
    seal::seal,
    wire::MacAddresses,
};

/// The answer of the host's routing and neighbour tables, kept in a flow's entry of the map `FLOWS`.
///
/// It is valid only for the [`Question`] that it answers. The question contains the time, in units of about half a
/// second. So an answer expires by itself, even if user space is not running.
///
/// Several CPUs may write the answer of one flow at once, and user space may reuse the entry for another flow meanwhile. Each
/// 64-bit word is written as a whole, but a reader may find words of two writers. The last word is a checksum over all others and
/// over the question, which includes the flow's route. It does not match a mixture, nor a late answer for the entry's previous
/// flow. The reader then looks the next hop up again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct KeptHop {
    addresses: MacAddresses,
    device: Device,
    mtu: u16,
    padding: u16,
    check: u64,
}

const _: () = assert!(size_of::<KeptHop>() == 32 && align_of::<KeptHop>() == 8, "shared with the kernel program");

/// The inputs of a next hop, beside the host's tables. Another question needs another look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The check word of the flow's route, as a digest of it.
    route: u64,
    /// The time period, and the traffic class without ECN, which routes and policy rules may depend on.
    when_and_class: u64,
    /// User space changes it when the host's tables change.
    generation: u64,
}

/// The bits of a traffic class that routes and rules may depend on: DSCP without ECN.
pub const DSCP: u8 = 0xfc;

impl Question {
    /// The question for a packet that leaves by `route`.
    ///
    /// `now` is in ticks of the kernel's clock; a period has `1 << period` of them. Each flow's periods begin at a different time, so
    /// that flows do not all look up at the same moment.
    #[must_use]
    #[inline(always)]
    pub const fn new(route: &Route, leaving: &Leaving, now: u64, period: u32, generation: u64) -> Self {
        let begin = route.check & ((1 << period) - 1);
        let when = now.wrapping_add(begin) >> period;
        Self { route: route.check, when_and_class: when << 8 | (leaving.traffic_class & DSCP) as u64, generation }
    }
}

impl KeptHop {
    /// The number of 64-bit words in it.
    pub const WORDS: usize = size_of::<Self>() / size_of::<u64>();

    /// The answer to `question`: frames get `addresses`, leave by `device`, and their IP packets have at most `mtu` bytes.
    #[must_use]
    #[inline(always)]
    pub const fn new(question: &Question, addresses: MacAddresses, device: Device, mtu: u16) -> Self {
        let hop = Self { addresses, device, mtu, padding: 0, check: 0 };
        Self { check: hop.check(question), ..hop }
    }

    /// Whether this is the answer to `question`, for a packet with the length in `leaving`.
    #[must_use]
    #[inline(always)]
    pub const fn answers(&self, question: &Question, leaving: &Leaving) -> bool {
        self.check == self.check(question) && leaving.length <= self.mtu as u32
    }

    /// Writes this next hop to `link`, for a frame that arrived on interface `arrived_on`.
    #[inline(always)]
    pub fn apply(&self, arrived_on: u32, link: &mut Link) {
        link.addresses = self.addresses;
        self.device.apply(arrived_on, link);
    }

    #[inline(always)]
    const fn check(&self, question: &Question) -> u64 {
        let [first, middle, last] = self.addresses.words();
        let device = self.device.vlan.raw() as u32 | (self.device.tagged as u32) << 16;
        seal(&[
            pair(first, middle),
            pair(last, self.device.interface),
            pair(device, self.mtu as u32),
            question.route,
            question.when_and_class,
            question.generation,
        ])
    }
}

#[inline(always)]
const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}
