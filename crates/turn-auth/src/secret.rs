use std::fmt;

use zeroize::Zeroizing;

/// The secret shared by a relay and the issuers of its credentials. `Debug` does not show it, and dropping overwrites it.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthSecret(Zeroizing<String>);

/// Why a text is not a valid secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SecretError {
    /// Empty.
    #[error("the secret is empty")]
    Empty,
    /// It has a control character, such as a line break.
    #[error("the secret may not hold control characters, and byte {position} begins one")]
    ControlCharacter {
        /// Where the first one is, in bytes, from zero.
        position: usize,
    },
    /// Short enough to be guessed.
    #[error("the secret has {actual} characters and needs at least {}", AuthSecret::MIN_LEN)]
    TooShort {
        /// Its length in bytes.
        actual: usize,
    },
    /// Too long.
    #[error("the secret has {actual} characters and may have at most {}", AuthSecret::MAX_LEN)]
    TooLong {
        /// Its length in bytes.
        actual: usize,
    },
    /// It has a character that is not printable ASCII, or white space.
    #[error("the secret may hold printable ASCII without white space only, which byte {position} is not")]
    ForbiddenCharacter {
        /// Where the first one is, in bytes, from zero.
        position: usize,
    },
}

impl AuthSecret {
    /// The least number of bytes.
    pub const MIN_LEN: usize = 16;
    /// The largest number of bytes.
    pub const MAX_LEN: usize = 256;

    /// A secret with this text, which is not decoded: 16 to 256 printable ASCII characters.
    ///
    /// # Errors
    ///
    /// When it is too short, too long, or has other characters.
    pub fn new(secret: &str) -> Result<Self, SecretError> {
        let actual = secret.len();
        if actual < Self::MIN_LEN {
            return Err(SecretError::TooShort { actual });
        }
        if actual > Self::MAX_LEN {
            return Err(SecretError::TooLong { actual });
        }
        match secret.bytes().position(|byte| !byte.is_ascii_graphic()) {
            Some(position) => Err(SecretError::ForbiddenCharacter { position }),
            None => Ok(Self(Zeroizing::new(secret.to_owned()))),
        }
    }

    /// A secret with this text, for secrets chosen for other programs: coturn's `static-auth-secret` can be any text. A secret shorter
    /// than [`Self::MIN_LEN`] can be guessed by anyone who has seen one credential.
    ///
    /// # Errors
    ///
    /// When it is empty, has more than [`Self::MAX_LEN`] bytes, or a control character.
    pub fn any_text(secret: &str) -> Result<Self, SecretError> {
        if secret.is_empty() {
            return Err(SecretError::Empty);
        }
        let actual = secret.len();
        if actual > Self::MAX_LEN {
            return Err(SecretError::TooLong { actual });
        }
        match secret.find(char::is_control) {
            Some(position) => Err(SecretError::ControlCharacter { position }),
            None => Ok(Self(Zeroizing::new(secret.to_owned()))),
        }
    }

    /// A secret of these random bytes, written in lower-case hexadecimal.
    #[must_use]
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(hex::encode(bytes)))
    }

    /// The text: for the portal, or for an operator who asks for it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AuthSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn hexadecimal_and_uuids_are_secrets() {
        for text in
            ["4c98bf59c99b3e467ecd7cf9d6b3e5279645fca59be67bc5bb4af3cf653761ab", "1cab293a-4032-46f4-862a-40e5d174b0d2"]
        {
            assert_eq!(AuthSecret::new(text).unwrap().expose(), text);
        }
    }

    #[test]
    fn random_bytes_are_64_hexadecimal_digits() {
        let mut bytes = [0; 32];
        (bytes[0], bytes[31]) = (0x0F, 0xA0);
        let secret = AuthSecret::from_random(bytes);
        assert_eq!(secret.expose(), format!("0f{}a0", "00".repeat(30)));
        assert!(AuthSecret::new(secret.expose()).is_ok());
    }

    #[test]
    fn other_texts_are_refused_with_the_reason() {
        let secret = |text: &str| AuthSecret::new(text).map(|secret| secret.expose().to_owned());
        assert_eq!(secret(""), Err(SecretError::TooShort { actual: 0 }));
        assert_eq!(secret(&"x".repeat(15)), Err(SecretError::TooShort { actual: 15 }));
        assert!(secret(&"x".repeat(16)).is_ok());
        assert!(secret(&"x".repeat(256)).is_ok());
        assert_eq!(secret(&"x".repeat(257)), Err(SecretError::TooLong { actual: 257 }));
        assert_eq!(secret("0123456789abcdef "), Err(SecretError::ForbiddenCharacter { position: 16 }));
        assert_eq!(secret("0123456789abcdef\n"), Err(SecretError::ForbiddenCharacter { position: 16 }));
        assert_eq!(secret("\u{E9}0123456789abcdef"), Err(SecretError::ForbiddenCharacter { position: 0 }));
        assert_eq!(
            SecretError::TooShort { actual: 3 }.to_string(),
            "the secret has 3 characters and needs at least 16",
        );
    }

    #[test]
    fn other_programs_secrets_are_any_text() {
        for text in ["north", "two words", "a,b", "gr\u{FC}n", "x"] {
            assert_eq!(AuthSecret::any_text(text).unwrap().expose(), text);
        }
        let secret = |text: &str| AuthSecret::any_text(text).map(|secret| secret.expose().to_owned());
        assert!(secret(&"x".repeat(256)).is_ok());
        assert_eq!(secret(&"x".repeat(257)), Err(SecretError::TooLong { actual: 257 }));
        assert_eq!(secret(""), Err(SecretError::Empty));
        assert_eq!(secret("north\n"), Err(SecretError::ControlCharacter { position: 5 }));
        assert_eq!(secret("\u{85}"), Err(SecretError::ControlCharacter { position: 0 }));
    }

    #[test]
    fn debug_does_not_show_it() {
        assert_eq!(format!("{:?}", AuthSecret::new("0123456789abcdef").unwrap()), "AuthSecret(..)");
    }
}
