//! The lifetime that Allocate and Refresh requests are granted.

use std::time::Duration;

/// Granted to a client that asks for no lifetime, or for a shorter one:
/// [RFC 8656, section 3.2](https://www.rfc-editor.org/rfc/rfc8656#section-3.2).
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// The longest lifetime granted: [RFC 8656, section 7.2](https://www.rfc-editor.org/rfc/rfc8656#section-7.2).
pub const MAX_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// The lifetime granted to an Allocate request that asks for `proposed`: between default and maximum.
pub(crate) fn of_allocate(proposed: Option<Duration>) -> Duration {
    proposed.unwrap_or(DEFAULT_LIFETIME).clamp(DEFAULT_LIFETIME, MAX_LIFETIME)
}

/// The lifetime granted to a Refresh request, in which zero means "delete":
/// [RFC 8656, section 8.2](https://www.rfc-editor.org/rfc/rfc8656#section-8.2).
pub(crate) fn of_refresh(proposed: Option<Duration>) -> Duration {
    match proposed {
        Some(Duration::ZERO) => Duration::ZERO,
        proposed => of_allocate(proposed),
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn granted_lifetime_lies_between_default_and_maximum() {
        for proposed in
            [None, Some(0), Some(1), Some(599), Some(600), Some(3000), Some(3600), Some(3601), Some(u32::MAX)]
        {
            let granted = of_allocate(proposed.map(|secs| Duration::from_secs(secs.into()))).as_secs();
            assert_eq!(granted, u64::from(proposed.unwrap_or(0)).clamp(600, 3600), "{proposed:?}");
        }
    }

    #[test]
    fn only_an_explicit_zero_deletes() {
        assert_eq!(of_refresh(Some(Duration::ZERO)), Duration::ZERO);
        assert_eq!(of_refresh(None), DEFAULT_LIFETIME);
        assert_eq!(of_refresh(Some(Duration::from_secs(1))), DEFAULT_LIFETIME);
    }
}
