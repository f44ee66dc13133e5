//! Address families as they are numbered on the wire:
//! [RFC 8656, section 18.8](https://www.rfc-editor.org/rfc/rfc8656#section-18.8).

use allocation::Family;
use stun_msg::FamilyCode;

/// The family with this number, if it is one.
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
