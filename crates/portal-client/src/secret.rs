use std::fmt;

use http::HeaderValue;

/// The relay's credential at the portal, `FIREZONE_TOKEN`.
///
/// It is never printed: `Debug` is redacted and there is no `Display`.
#[derive(Clone)]
pub struct Token(HeaderValue);

impl Token {
    /// Makes a token from configuration. All white space is removed, such as a line break at the end of a file.
    ///
    /// # Errors
    /// If nothing is left, or if a character is not visible ASCII.
    pub fn new(configured: &str) -> Result<Self, TokenError> {
        let token: String = configured.split_whitespace().collect();
        if token.is_empty() {
            return Err(TokenError::Empty);
        }
        if let Some(at) = token.bytes().position(|byte| !byte.is_ascii_graphic()) {
            return Err(TokenError::NotVisibleAscii { at });
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_invalid| TokenError::Empty)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// The value of the header `X-Authorization`.
    pub(crate) fn header_value(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Why a string is not a valid [`Token`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It is empty, or all white space.
    #[error("it is empty")]
    Empty,
    /// A character is not allowed in an HTTP header.
    #[error("its character number {} is not visible ASCII", at + 1)]
    NotVisibleAscii {
        /// Its position, from 0, in bytes and without white space.
        at: usize,
    },
}

/// The secret that signs the relay's TURN credentials, as the relay sends it to the portal.
///
/// To the portal, a new secret means that the relay has restarted. So a process keeps its secret.
#[derive(Clone)]
pub struct StampSecret(String);

impl StampSecret {
    /// Wraps the secret's text form.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StampSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StampSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::{StampSecret, Token, TokenError};

    #[test]
    fn white_space_is_removed_from_a_token() {
        let token = Token::new(" .SFMy\nNTY.g2g \t\r\n").unwrap();
        assert_eq!(token.header_value().to_str().unwrap(), "Bearer .SFMyNTY.g2g");
        assert!(token.header_value().is_sensitive());
    }

    #[test]
    fn a_token_of_white_space_is_refused() {
        assert_eq!(Token::new(" \n").unwrap_err(), TokenError::Empty);
    }

    #[test]
    fn a_token_that_would_break_the_header_is_refused() {
        assert_eq!(Token::new("abc\u{7f}").unwrap_err(), TokenError::NotVisibleAscii { at: 3 });
        assert_eq!(Token::new("tök").unwrap_err(), TokenError::NotVisibleAscii { at: 1 });
        assert_eq!(TokenError::NotVisibleAscii { at: 1 }.to_string(), "its character number 2 is not visible ASCII");
    }

    #[test]
    fn neither_is_printed() {
        let printed = format!("{:?} {:?}", Token::new("needle").unwrap(), StampSecret::new("needle"));
        assert_eq!(printed, "Token(..) StampSecret(..)");
    }
}
