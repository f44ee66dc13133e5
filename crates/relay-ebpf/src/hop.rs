//! A next hop that was looked up once, kept with the flow.

use crate::{
    host::{Device, Leaving, Link},
    route::Route,
    seal::seal,
    wire::MacAddresses,
};

/// The answer of the host's routing and neighbour tables, as a flow keeps it in its entry of the map `FLOWS`.
///
/// It holds for the [`Question`] that it answers and for no other. The question contains the time, in units of about half a
/// second, so that an answer ends by itself: nobody has to take it away, and nobody has to be alive for it.
///
/// Several CPUs may write the answer of one flow at once, and user space may give the entry to another flow meanwhile. Each
/// 64-bit word is written whole, but a reader can find words of two writers. The last word is a check over all others and
/// over the question, the flow's route included. A mixture fails it, and so does a late answer for the entry's previous
/// flow: the reader then looks up anew.
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

/// What a next hop depends on, beside the host's tables. Another question needs another look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The check word of the flow's route, which stands for all of it.
    route: u64,
    /// The period of time, and the traffic class without ECN: routes and policy rules may depend on the latter.
    when_and_class: u64,
    /// Changes when user space hears that the host's tables do.
    generation: u64,
}

/// The bits of a traffic class that routes and rules may depend on: DSCP, but not ECN.
pub const DSCP: u8 = 0xfc;

impl Question {
    /// What to ask for a packet that leaves by `route`.
    ///
    /// `now` is in ticks of the kernel's clock, of which `1 << period` are a period. A flow's periods begin at a time of its
    /// own, or all flows would look up at the same moment.
    #[must_use]
    #[inline(always)]
    pub const fn new(route: &Route, leaving: &Leaving, now: u64, period: u32, generation: u64) -> Self {
        let begin = route.check & ((1 << period) - 1);
        let when = now.wrapping_add(begin) >> period;
        Self { route: route.check, when_and_class: when << 8 | (leaving.traffic_class & DSCP) as u64, generation }
    }
}

impl KeptHop {
    /// The number of 64-bit words that it is.
    pub const WORDS: usize = size_of::<Self>() / size_of::<u64>();

    /// The answer to `question`: frames with `addresses` that leave by `device`, with IP packets of at most `mtu` bytes.
    #[must_use]
    #[inline(always)]
    pub const fn new(question: &Question, addresses: MacAddresses, device: Device, mtu: u16) -> Self {
        let hop = Self { addresses, device, mtu, padding: 0, check: 0 };
        Self { check: hop.check(question), ..hop }
    }

    /// Whether this answers `question`, for a packet that is as long as `leaving` says.
    #[must_use]
    #[inline(always)]
    pub const fn answers(&self, question: &Question, leaving: &Leaving) -> bool {
        self.check == self.check(question) && leaving.length <= self.mtu as u32
    }

    /// Makes `link` lead to this next hop, for a frame that arrived on interface `arrived_on`.
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
