//! How a password is made from a secret and a username.

mod firezone;
mod turn_rest;

use zeroize::Zeroizing;

use crate::{AuthSecret, Credentials, Scheme, UnixTime, username::Username};

impl Scheme {
    /// Makes credentials for `user` that are valid until `expiry`.
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

    /// The password of `username`; `None` if this scheme has no usernames of that form.
    pub(crate) fn password(self, secret: &AuthSecret, username: &Username<'_>) -> Option<Zeroizing<String>> {
        match self {
            Self::Firezone => {
                let salt = username.user.filter(|_| username.is_expiry_first)?;
                Some(firezone::password(secret, username.expiry, salt))
            }
            Self::TurnRest => Some(turn_rest::password(secret, username.text)),
        }
    }
}

impl Credentials {
    /// Makes credentials of [`Scheme::Firezone`] that are valid until `expiry`. Give different users different salts; the relay needs to know
    /// only `secret`. A salt must not be empty, and the username must not have more than 508 bytes.
    #[must_use]
    pub fn mint(secret: &AuthSecret, expiry: UnixTime, salt: &str) -> Self {
        Scheme::Firezone.mint(secret, expiry, salt)
    }
}

#[cfg(test)]
mod tests;
