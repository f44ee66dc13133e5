//! How a password follows from a secret and a username.

mod firezone;
mod turn_rest;

use crate::{AuthSecret, Credentials, UnixTime, username::Username};

/// A formula that makes a password from a secret and a username, so that a relay needs to store neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Username `{expiry}:{salt}`, password base64(SHA-256(`{expiry}:{secret}:{salt}`)) without padding.
    Firezone,
    /// The "TURN REST API" that coturn made common. Username `{expiry}:{user id}`, `{expiry}` or `{user id}:{expiry}`, password
    /// base64(HMAC-SHA1(secret, username)) with padding.
    TurnRest,
}

/// The schemes that a relay accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Schemes {
    /// One.
    Only(Scheme),
    /// Both: a password that either of them makes is right.
    Both,
}

impl Scheme {
    /// The credentials of `user` that are valid up to `expiry`.
    ///
    /// [`Self::Firezone`] calls the user a salt. The username must not have more than 508 bytes, and `user` must not be empty.
    #[must_use]
    pub fn mint(self, secret: &AuthSecret, expiry: UnixTime, user: &str) -> Credentials {
        let username = format!("{}:{user}", expiry.0);
        let password = match self {
            Self::Firezone => firezone::password(secret, expiry, user),
            Self::TurnRest => turn_rest::password(secret, &username),
        };
        Credentials { username, password }
    }

    /// The password of `username`; none if this scheme does not have such usernames.
    pub(crate) fn password(self, secret: &AuthSecret, username: &Username<'_>) -> Option<String> {
        match self {
            Self::Firezone => {
                let salt = username.user.filter(|_| username.is_expiry_first)?;
                Some(firezone::password(secret, username.expiry, salt))
            }
            Self::TurnRest => Some(turn_rest::password(secret, username.text)),
        }
    }
}

impl Schemes {
    /// Those that are accepted.
    pub fn iter(self) -> impl Iterator<Item = Scheme> {
        [Scheme::Firezone, Scheme::TurnRest].into_iter().filter(move |scheme| self.contains(*scheme))
    }

    /// Whether `scheme` is accepted.
    #[must_use]
    pub fn contains(self, scheme: Scheme) -> bool {
        match self {
            Self::Only(only) => only == scheme,
            Self::Both => true,
        }
    }
}

#[cfg(test)]
mod tests;
