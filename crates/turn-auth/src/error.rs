use stun_msg::{AttributeType, ErrorCode};

use crate::UsernameError;

/// Why a request is not authenticated. [`Self::error_code`] is the ERROR-CODE of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AuthError {
    /// It has no MESSAGE-INTEGRITY: the first request of every client.
    #[error("the request is not authenticated")]
    Unauthenticated,
    /// It has MESSAGE-INTEGRITY but lacks an attribute that has to come with it: USERNAME, REALM or NONCE.
    #[error("the request has MESSAGE-INTEGRITY without {0}")]
    Missing(AttributeType),
    /// Its USERNAME does not have the form of any accepted scheme.
    #[error(transparent)]
    Username(#[from] UsernameError),
    /// It names a password algorithm that was not offered, or does not repeat the list that was offered.
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
    /// Its MESSAGE-INTEGRITY was made neither with the password of a static user nor with one made from an accepted secret.
    #[error("the password is wrong")]
    WrongPassword,
    /// Its NONCE was not issued to this client, or has expired.
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
