use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of a channel, `0x4000..=0x7FFF`.
///
/// [RFC 8656, section 12](https://www.rfc-editor.org/rfc/rfc8656#section-12) assigns `0x4000..=0x4FFF`; RFC 5766
/// assigned the whole range, and older clients still draw from all of it, so all of it is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct ChannelNumber(u16);

impl ChannelNumber {
    /// The lowest channel number, `0x4000`.
    pub const MIN: Self = Self(0x4000);
    /// The highest channel number, `0x7FFF`.
    pub const MAX: Self = Self(0x7FFF);

    /// `value` as a channel number, or `None` outside `0x4000..=0x7FFF`.
    #[must_use]
    pub const fn new(value: u16) -> Option<Self> {
        if value >= Self::MIN.0 && value <= Self::MAX.0 { Some(Self(value)) } else { None }
    }

    /// The number, in host byte order.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// A number outside `0x4000..=0x7FFF`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:#06x} is not a channel number")]
pub struct ChannelNumberError(pub u16);

impl TryFrom<u16> for ChannelNumber {
    type Error = ChannelNumberError;

    fn try_from(value: u16) -> Result<Self, ChannelNumberError> {
        Self::new(value).ok_or(ChannelNumberError(value))
    }
}

impl From<ChannelNumber> for u16 {
    fn from(number: ChannelNumber) -> Self {
        number.0
    }
}

impl fmt::Display for ChannelNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn takes_the_whole_range_of_rfc_5766_and_nothing_else() {
        for value in 0..=u16::MAX {
            assert_eq!(ChannelNumber::new(value).is_some(), value >> 14 == 0b01, "{value:#06x}");
        }
    }
}
