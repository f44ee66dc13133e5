use std::net::SocketAddr;

use stun_msg::{AttributeType, IntegrityKey, Message};

use crate::{AuthError, AuthSecret, Nonce, NonceIssuer, UnixTime, credentials, username::Username};

/// Checks requests by the [long-term credential mechanism](https://www.rfc-editor.org/rfc/rfc8489#section-9.2.4).
#[derive(Clone, Debug)]
pub struct Authenticator {
    secret: AuthSecret,
    nonces: NonceIssuer,
    realm: String,
}

/// A request that passed all checks.
#[derive(Clone, Debug)]
pub struct Authenticated<'a> {
    /// Whose it is.
    pub username: &'a str,
    /// The key that every answer to it is signed with.
    pub key: IntegrityKey,
}

/// Why a text is no realm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum RealmError {
    /// Empty.
    #[error("the realm is empty")]
    Empty,
    /// 128 characters or more.
    #[error("the realm has {actual} characters and may have at most {}", Authenticator::MAX_REALM_LEN)]
    TooLong {
        /// Its number of characters.
        actual: usize,
    },
    /// It has a quotation mark, a backslash or a control character.
    #[error("the realm may not hold quotation marks, backslashes and control characters")]
    ForbiddenCharacter,
}

impl Authenticator {
    /// How many characters a realm [may have](https://www.rfc-editor.org/rfc/rfc8489#section-14.9).
    pub const MAX_REALM_LEN: usize = 127;

    /// Takes requests with credentials minted from `secret` for `realm`.
    ///
    /// # Errors
    ///
    /// When the realm cannot be a REALM.
    pub fn new(secret: AuthSecret, nonces: NonceIssuer, realm: &str) -> Result<Self, RealmError> {
        if realm.is_empty() {
            return Err(RealmError::Empty);
        }
        let actual = realm.chars().count();
        if actual > Self::MAX_REALM_LEN {
            return Err(RealmError::TooLong { actual });
        }
        if realm.chars().any(|character| character.is_control() || matches!(character, '"' | '\\')) {
            return Err(RealmError::ForbiddenCharacter);
        }
        Ok(Self { secret, nonces, realm: realm.to_owned() })
    }

    /// The REALM of every challenge.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// The NONCE of a challenge for this client.
    #[must_use]
    pub fn nonce(&self, now: UnixTime, client: SocketAddr) -> Nonce {
        self.nonces.issue(now, client)
    }

    /// Checks a request in the order of [RFC 8489](https://www.rfc-editor.org/rfc/rfc8489#section-9.2.4): the user first, then
    /// MESSAGE-INTEGRITY, the nonce last. So a stale nonce is only told to who knows the password.
    ///
    /// # Errors
    ///
    /// When a check fails. The answer is not signed: there is no key that both sides know, or, after a stale nonce, none
    /// that [needs to be used](https://www.rfc-editor.org/rfc/rfc8489#section-9.2.4).
    pub fn authenticate<'a>(
        &self,
        message: &Message<'a>,
        now: UnixTime,
        client: SocketAddr,
    ) -> Result<Authenticated<'a>, AuthError> {
        if !message.has_integrity() {
            return Err(AuthError::Unauthenticated);
        }
        if message.username().is_none() && !message.has_userhash() {
            return Err(AuthError::Missing(AttributeType::USERNAME));
        }
        let realm = message.realm().ok_or(AuthError::Missing(AttributeType::REALM))?;
        let nonce = message.nonce().ok_or(AuthError::Missing(AttributeType::NONCE))?;

        let username = Username::parse(message.username().ok_or(AuthError::Userhash)?)?;
        if let Some(seconds_ago) = now.0.checked_sub(username.expiry.0) {
            return Err(AuthError::Expired { seconds_ago });
        }
        if realm != self.realm.as_bytes() {
            return Err(AuthError::WrongRealm);
        }
        let password = credentials::password(&self.secret, username.expiry, username.salt);
        let key = IntegrityKey::long_term(username.text, &self.realm, &password);
        message.verify_integrity(&key).map_err(|_| AuthError::WrongPassword)?;
        self.nonces.verify(nonce, now, client).map_err(|_| AuthError::StaleNonce)?;
        Ok(Authenticated { username: username.text, key })
    }
}

#[cfg(test)]
mod tests;
