//! The numbers of address families on the wire:
//! [RFC 8656, section 18.6](https://www.rfc-editor.org/rfc/rfc8656#section-18.6).

use allocation::Family;
use stun_msg::FamilyCode;

/// The family with this number; `None` if the number is unknown.
pub(crate) const fn from_code(code: FamilyCode) -> Option<Family> {
    match code {
        FamilyCode::V4 => Some(Family::V4),
        FamilyCode::V6 => Some(Family::V6),
        _ => None,
    }
}

/// The number of `family`.
pub(crate) const fn to_code(family: Family) -> FamilyCode {
    match family {
        Family::V4 => FamilyCode::V4,
        Family::V6 => FamilyCode::V6,
    }
}
