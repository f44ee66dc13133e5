use crate::UnixTime;

/// How long a USERNAME [may be](https://www.rfc-editor.org/rfc/rfc8489#section-14.3) in bytes.
const MAX_LEN: usize = 508;

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
    /// More than 508 bytes.
    #[error("the username is {actual} bytes long, 508 are allowed")]
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
