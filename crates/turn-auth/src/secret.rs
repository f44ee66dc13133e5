use std::fmt;

/// What a relay and those who mint credentials for it share. Its `Debug` does not show it.
#[derive(Clone)]
pub struct AuthSecret(String);

/// Why a text is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// Too short to withstand guessing.
    #[error("the secret has {actual} characters and needs at least {}", AuthSecret::MIN_LEN)]
    TooShort {
        /// Its length in bytes.
        actual: usize,
    },
    /// Longer than any secret needs to be.
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

    /// The secret with this text, which is taken as it is: 16 to 256 printable ASCII characters.
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
            None => Ok(Self(secret.to_owned())),
        }
    }

    /// The secret that is these random bytes in lower-case hexadecimal.
    #[must_use]
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(hex::encode(bytes))
    }

    /// The text itself: for the portal, or for a user who asked for it.
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
