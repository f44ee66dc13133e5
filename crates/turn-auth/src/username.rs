use crate::UnixTime;

/// How many bytes of USERNAME [must be understood](https://www.rfc-editor.org/rfc/rfc8489#section-14.3), although nobody should
/// send more than 508.
const MAX_LEN: usize = 763;

/// A username of the form `{expiry}:{salt}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Username<'a> {
    pub(crate) text: &'a str,
    pub(crate) expiry: UnixTime,
    /// Not empty; may hold colons.
    pub(crate) salt: &'a str,
}

/// Why a USERNAME is none of ours, which are `{expiry}:{salt}`: decimal Unix seconds without sign or leading zeros that fit
/// 64 bits, a colon, and a salt that is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum UsernameError {
    /// More than 763 bytes.
    #[error("the username is {actual} bytes long, 763 are allowed")]
    TooLong {
        /// Its length in bytes.
        actual: usize,
    },
    /// Not UTF-8.
    #[error("the username is not UTF-8")]
    NotUtf8,
    /// No colon.
    #[error("the username has no colon between expiry and salt")]
    NoColon,
    /// What precedes the colon is no plain decimal number.
    #[error("the username does not begin with a number of seconds without sign or leading zeros")]
    ExpiryNotANumber,
    /// The expiry needs more than 64 bits.
    #[error("the username's expiry is beyond 64 bits")]
    ExpiryTooLarge,
    /// Nothing follows the colon.
    #[error("the username has no salt behind the colon")]
    NoSalt,
}

impl<'a> Username<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, UsernameError> {
        if bytes.len() > MAX_LEN {
            return Err(UsernameError::TooLong { actual: bytes.len() });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| UsernameError::NotUtf8)?;
        let (expiry, salt) = text.split_once(':').ok_or(UsernameError::NoColon)?;
        // `u64::from_str` would take a plus sign and leading zeros: several usernames for one credential.
        let canonical = !expiry.is_empty()
            && expiry.bytes().all(|byte| byte.is_ascii_digit())
            && (expiry == "0" || !expiry.starts_with('0'));
        if !canonical {
            return Err(UsernameError::ExpiryNotANumber);
        }
        let expiry = expiry.parse().map(UnixTime).map_err(|_| UsernameError::ExpiryTooLarge)?;
        if salt.is_empty() {
            return Err(UsernameError::NoSalt);
        }
        Ok(Self { text, expiry, salt })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn expiry_and_salt_are_read() {
        for (text, expiry, salt) in [
            ("1892160000:n23JJ2wKKtt30oXi", 1_892_160_000, "n23JJ2wKKtt30oXi"),
            ("0:salt", 0, "salt"),
            ("1::", 1, ":"),
            ("1:a:b:c", 1, "a:b:c"),
            ("1: ", 1, " "),
            ("1:\u{1F980}", 1, "\u{1F980}"),
            ("9223372036854775807:s", i64::MAX.unsigned_abs(), "s"),
            ("9223372036854775808:s", 1 << 63, "s"),
            ("18446744073709551615:s", u64::MAX, "s"),
        ] {
            assert_eq!(Username::parse(text.as_bytes()), Ok(Username { text, expiry: UnixTime(expiry), salt }));
        }
    }

    #[test]
    fn other_formats_are_told_apart() {
        for (text, error) in [
            ("", UsernameError::NoColon),
            ("1892160000", UsernameError::NoColon),
            ("1892160000;salt", UsernameError::NoColon),
            (":", UsernameError::ExpiryNotANumber),
            (":salt", UsernameError::ExpiryNotANumber),
            ("-1:salt", UsernameError::ExpiryNotANumber),
            ("+1:salt", UsernameError::ExpiryNotANumber),
            (" 1:salt", UsernameError::ExpiryNotANumber),
            ("1 :salt", UsernameError::ExpiryNotANumber),
            ("01:salt", UsernameError::ExpiryNotANumber),
            ("00:salt", UsernameError::ExpiryNotANumber),
            ("1_000:salt", UsernameError::ExpiryNotANumber),
            ("1.5:salt", UsernameError::ExpiryNotANumber),
            ("1e9:salt", UsernameError::ExpiryNotANumber),
            ("0x10:salt", UsernameError::ExpiryNotANumber),
            ("\u{0661}:salt", UsernameError::ExpiryNotANumber),
            ("salt:1892160000", UsernameError::ExpiryNotANumber),
            ("18446744073709551616:salt", UsernameError::ExpiryTooLarge),
            ("99999999999999999999999999999999:salt", UsernameError::ExpiryTooLarge),
            ("1:", UsernameError::NoSalt),
        ] {
            assert_eq!(Username::parse(text.as_bytes()), Err(error), "{text}");
        }
        assert_eq!(Username::parse(b"1:\xFF"), Err(UsernameError::NotUtf8));
    }

    #[test]
    fn a_username_of_763_bytes_is_the_longest() {
        let longest = format!("1:{}", "s".repeat(761));
        assert!(Username::parse(longest.as_bytes()).is_ok());
        let longer = format!("{longest}s");
        assert_eq!(Username::parse(longer.as_bytes()), Err(UsernameError::TooLong { actual: 764 }));
    }

    proptest! {
        #![proptest_config(property_tests::config())]

        #[test]
        fn every_credential_has_one_username(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(Username { text, expiry, salt }) = Username::parse(&bytes) {
                prop_assert_eq!(text.as_bytes(), bytes.as_slice());
                prop_assert_eq!(format!("{}:{salt}", expiry.0), text);
            }
        }

        #[test]
        fn minted_usernames_are_read(expiry: u64, salt in ".{1,40}") {
            let text = format!("{expiry}:{salt}");
            let expected = Username { text: &text, expiry: UnixTime(expiry), salt: &salt };
            prop_assert_eq!(Username::parse(text.as_bytes()), Ok(expected));
        }
    }
}
