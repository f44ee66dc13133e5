use std::fmt;

/// How many low bits of an id are the number of the slot that holds the allocation.
const SLOT_BITS: u32 = 16;

/// Identifies one allocation. Ids are never used twice while the relay runs, and sort by creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AllocationId(u64);

impl AllocationId {
    /// `sequence` counts creations; 48 bits of it last for 350 years at 25,000 creations per second.
    pub(crate) const fn new(sequence: u64, slot: u16) -> Self {
        Self((sequence << SLOT_BITS) | slot as u64)
    }

    /// The id that was [`Self::as_u64`] before.
    pub(crate) const fn from_u64(id: u64) -> Self {
        Self(id)
    }

    /// How many allocations were made before this one.
    pub(crate) const fn sequence(self) -> u64 {
        self.0 >> SLOT_BITS
    }

    /// The id as a number, for logs and traces.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low bits are the slot")]
    pub(crate) const fn slot(self) -> u16 {
        self.0 as u16
    }
}

impl fmt::Display for AllocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AID-{}", self.0)
    }
}
