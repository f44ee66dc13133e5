use stun_msg::{AttributeType, ErrorCode};

use crate::UsernameError;

/// Why a request is not authenticated. [`Self::error_code`] is what its client hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AuthError {
    /// It has no MESSAGE-INTEGRITY: the first request of every client.
    #[error("the request is not authenticated")]
    Unauthenticated,
    /// It has MESSAGE-INTEGRITY and lacks an attribute that belongs to it: USERNAME, REALM or NONCE.
    #[error("the request has MESSAGE-INTEGRITY without {0}")]
    Missing(AttributeType),
    /// Its USERNAME is none that credentials are minted for.
    #[error(transparent)]
    Username(#[from] UsernameError),
    /// It names a password algorithm otherwise than it was offered: without the list, with another list, or one that is not in it.
    #[error("PASSWORD-ALGORITHM and PASSWORD-ALGORITHMS do not answer what was offered")]
    PasswordAlgorithms,
    /// It names its user by a USERHASH, which this server does not offer.
    #[error("the user is named by USERHASH, which is not offered here")]
    Userhash,
    /// Its credentials have expired.
    #[error("the credentials expired {seconds_ago} seconds ago")]
    Expired {
        /// How long ago, in seconds.
        seconds_ago: u64,
    },
    /// Its REALM is not this server's.
    #[error("the realm is not this server's")]
    WrongRealm,
    /// Its MESSAGE-INTEGRITY was made with another password, or not at all with one that this server's secret mints.
    #[error("the password is wrong")]
    WrongPassword,
    /// Its NONCE is not one that this client was given lately.
    #[error("the nonce is stale")]
    StaleNonce,
}

impl AuthError {
    /// The ERROR-CODE of the answer.
    #[must_use]
    pub const fn error_code(self) -> ErrorCode {
        match self {
            Self::Missing(_) | Self::PasswordAlgorithms => ErrorCode::BAD_REQUEST,
            Self::StaleNonce => ErrorCode::STALE_NONCE,
            Self::Unauthenticated
            | Self::Username(_)
            | Self::Userhash
            | Self::Expired { .. }
            | Self::WrongRealm
            | Self::WrongPassword => ErrorCode::UNAUTHENTICATED,
        }
    }

    /// Whether the answer carries REALM and NONCE: [401 and 438 do, 400 does
    /// not](https://www.rfc-editor.org/rfc/rfc8489#section-9.2.4).
    #[must_use]
    pub const fn needs_challenge(self) -> bool {
        !matches!(self, Self::Missing(_) | Self::PasswordAlgorithms)
    }
}
