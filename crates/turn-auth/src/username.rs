use crate::{Scheme, Schemes, UnixTime};

/// How many bytes of USERNAME a server [must accept](https://www.rfc-editor.org/rfc/rfc8489#section-14.3), although clients should
/// not send more than 508.
const MAX_LEN: usize = 763;

/// A username that contains its expiry: `{expiry}:{user id}`; in [`Scheme::TurnRest`] also `{expiry}` and
/// `{user id}:{expiry}`. One that both begins and ends with a number has the first form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Username<'a> {
    pub(crate) text: &'a str,
    pub(crate) expiry: UnixTime,
    /// The user id, if there is one. Not empty; may contain colons.
    pub(crate) user: Option<&'a str>,
    /// Whether it begins with the expiry.
    pub(crate) is_expiry_first: bool,
}

/// Why a USERNAME does not have the form of any accepted [`Scheme`]. An expiry is a number of Unix seconds of up to 64 bits, in decimal
/// without sign or leading zeros. A user id is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
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
    /// No colon, and not one of the static users.
    #[error("the username has no colon between expiry and salt, and there is no user of that name")]
    NoColon,
    /// The part before the colon is not a plain decimal number.
    #[error("the username does not begin with a number of seconds without sign or leading zeros")]
    ExpiryNotANumber,
    /// The expiry needs more than 64 bits.
    #[error("the username's expiry is beyond 64 bits")]
    ExpiryTooLarge,
    /// Nothing follows the colon.
    #[error("the username has no salt behind the colon")]
    NoSalt,
}

/// The text of a USERNAME.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, UsernameError> {
    if bytes.len() > MAX_LEN {
        return Err(UsernameError::TooLong { actual: bytes.len() });
    }
    std::str::from_utf8(bytes).map_err(|_| UsernameError::NotUtf8)
}

impl<'a> Username<'a> {
    /// Parses a username in the form of one of `schemes`.
    pub(crate) fn parse(text: &'a str, schemes: Schemes) -> Result<Self, UsernameError> {
        match Self::expiry_first(text) {
            Err(error @ (UsernameError::NoColon | UsernameError::ExpiryNotANumber))
                if schemes.contains(Scheme::TurnRest) =>
            {
                Self::expiry_last(text).ok_or(error)
            }
            parsed => parsed,
        }
    }

    fn expiry_first(text: &'a str) -> Result<Self, UsernameError> {
        let (expiry, user) = text.split_once(':').ok_or(UsernameError::NoColon)?;
        let expiry = seconds(expiry)?;
        if user.is_empty() {
            return Err(UsernameError::NoSalt);
        }
        Ok(Self { text, expiry, user: Some(user), is_expiry_first: true })
    }

    /// `{user id}:{expiry}`, or the expiry alone.
    fn expiry_last(text: &'a str) -> Option<Self> {
        let (user, expiry) = match text.rsplit_once(':') {
            Some(("", _)) => return None,
            Some((user, expiry)) => (Some(user), expiry),
            None => (None, text),
        };
        Some(Self { text, expiry: seconds(expiry).ok()?, user, is_expiry_first: false })
    }

    /// The part of the username that stays the same when the credential is renewed: the user id, or the whole username if it is only an expiry.
    pub(crate) fn user_id(&self) -> &'a str {
        self.user.unwrap_or(self.text)
    }
}

fn seconds(text: &str) -> Result<UnixTime, UsernameError> {
    // `u64::from_str` would accept a plus sign and leading zeros, and so several usernames for one credential.
    let canonical =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if !canonical {
        return Err(UsernameError::ExpiryNotANumber);
    }
    text.parse().map(UnixTime).map_err(|_| UsernameError::ExpiryTooLarge)
}

#[cfg(test)]
mod tests;
