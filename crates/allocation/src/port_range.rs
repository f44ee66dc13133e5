use std::{fmt, ops::RangeInclusive};

use serde::{Deserialize, Serialize};

use crate::AllocationPort;

/// An inclusive range of UDP ports, without port 0. Only [`Self::EMPTY`] contains no port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "(u16, u16)", into = "(u16, u16)")]
pub struct PortRange {
    lowest: u16,
    highest: u16,
}

impl PortRange {
    /// The dynamic ports, 49152 to 65535, which
    /// [RFC 8656, section 7.2](https://www.rfc-editor.org/rfc/rfc8656#section-7.2) tells servers to allocate from.
    pub const DYNAMIC: Self = Self { lowest: 49152, highest: 65535 };

    /// No ports: for a shard without ports, where a relay has more shards than ports. Represented as 1 to 0.
    pub const EMPTY: Self = Self { lowest: 1, highest: 0 };

    /// The ports from `lowest` to `highest`, both included, in host byte order.
    ///
    /// # Errors
    ///
    /// When `lowest` is above `highest`, or zero.
    pub const fn new(lowest: u16, highest: u16) -> Result<Self, PortRangeError> {
        if lowest == 0 {
            return Err(PortRangeError::Zero);
        }
        if lowest > highest {
            return Err(PortRangeError::Empty { lowest, highest });
        }
        Ok(Self { lowest, highest })
    }

    /// The first port.
    #[must_use]
    pub const fn lowest(self) -> u16 {
        self.lowest
    }

    /// The last port, not below [`Self::lowest`] unless the range is [empty](Self::EMPTY).
    #[must_use]
    pub const fn highest(self) -> u16 {
        self.highest
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.lowest > self.highest
    }

    /// How many ports there are.
    #[must_use]
    pub const fn len(self) -> u16 {
        // Only the empty range overflows, to 0: no range contains port 0.
        self.highest.wrapping_sub(self.lowest).wrapping_add(1)
    }

    /// Whether `port` is one of them.
    #[must_use]
    pub const fn contains(self, port: AllocationPort) -> bool {
        port.get() >= self.lowest && port.get() <= self.highest
    }

    /// The ports in ascending order.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = AllocationPort> {
        RangeInclusive::new(self.lowest, self.highest).map(AllocationPort::new)
    }

    /// The position of `port` in the range, counted from zero.
    pub(crate) const fn index_of(self, port: AllocationPort) -> Option<usize> {
        if self.contains(port) { Some((port.get() - self.lowest) as usize) } else { None }
    }
}

impl TryFrom<(u16, u16)> for PortRange {
    type Error = PortRangeError;

    fn try_from((lowest, highest): (u16, u16)) -> Result<Self, PortRangeError> {
        let Self { lowest: from, highest: to } = Self::EMPTY;
        if (lowest, highest) == (from, to) { Ok(Self::EMPTY) } else { Self::new(lowest, highest) }
    }
}

impl From<PortRange> for (u16, u16) {
    fn from(range: PortRange) -> Self {
        (range.lowest, range.highest)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.lowest, self.highest)
    }
}

/// Two ports that do not make a [`PortRange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortRangeError {
    /// The first port comes after the last.
    #[error("the lowest port {lowest} is above the highest port {highest}")]
    Empty {
        /// The first port.
        lowest: u16,
        /// The last port.
        highest: u16,
    },
    /// Port 0 cannot be sent to.
    #[error("the lowest port is 0, which is not a usable port")]
    Zero,
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn the_dynamic_range_is_the_upper_quarter_of_all_ports() {
        assert_eq!(PortRange::new((1 << 15) + (1 << 14), u16::MAX), Ok(PortRange::DYNAMIC));
        assert_eq!(PortRange::DYNAMIC.len(), 1 << 14);
    }

    #[test]
    fn refuses_what_is_no_range() {
        assert_eq!(PortRange::new(2, 1), Err(PortRangeError::Empty { lowest: 2, highest: 1 }));
        assert_eq!(PortRange::new(0, 1), Err(PortRangeError::Zero));
    }

    #[test]
    fn the_empty_range_has_no_ports() {
        assert_eq!((PortRange::EMPTY.len(), PortRange::EMPTY.iter().count()), (0, 0));
        assert!((0..=u16::MAX).map(AllocationPort::new).all(|port| !PortRange::EMPTY.contains(port)));
        assert!(PortRange::EMPTY.is_empty() && !PortRange::DYNAMIC.is_empty());
    }

    #[test]
    fn counts_both_ends() {
        let all = PortRange::new(1, u16::MAX).unwrap();
        assert_eq!(all.len(), u16::MAX);
        let one = PortRange::new(7, 7).unwrap();
        assert_eq!((one.len(), one.iter().collect::<Vec<_>>()), (1, vec![AllocationPort::new(7)]));
        assert_eq!(one.index_of(AllocationPort::new(7)), Some(0));
        assert_eq!(one.index_of(AllocationPort::new(6)), None);
        assert_eq!(one.index_of(AllocationPort::new(8)), None);
    }
}
