use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use stun_msg::{AttributeType, IntegrityKey, Message, PasswordAlgorithm, RequestedAlgorithm};

use crate::{
    AcceptedCredentials, AuthError, Nonce, NonceIssuer, UnixTime,
    username::{self, Username},
};

/// Checks requests by the [long-term credential mechanism](https://www.rfc-editor.org/rfc/rfc8489#section-9.2.4).
#[derive(Clone, Debug)]
pub struct Authenticator {
    accepted: Arc<AcceptedCredentials>,
    offers_algorithms: bool,
    nonces: NonceIssuer,
    realm: String,
}

/// A request that passed all checks.
#[derive(Clone, Debug)]
pub struct Authenticated<'a> {
    /// Its USERNAME.
    pub username: &'a str,
    /// The part of the username that stays the same when the credential is renewed, by which to count a user's allocations. The whole
    /// username if it has no other part.
    pub user_id: &'a str,
    /// When the credential expires, if ever.
    pub expiry: Option<UnixTime>,
    /// The key to sign every response with.
    pub key: IntegrityKey,
}

/// Credentials that an allocation was made with.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'k> {
    /// The username.
    pub username: &'k str,
    /// The key.
    pub key: &'k IntegrityKey,
    /// When they expire; `None` to accept them even after that.
    pub expiry: Option<UnixTime>,
}

/// Why a text is not a valid realm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
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

    /// Accepts requests with `accepted` credentials for `realm`.
    ///
    /// # Errors
    ///
    /// When the realm is not a valid REALM.
    pub fn new(
        accepted: impl Into<Arc<AcceptedCredentials>>,
        nonces: NonceIssuer,
        realm: &str,
    ) -> Result<Self, RealmError> {
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
        let accepted = accepted.into();
        let offers_algorithms = accepted.has_all_keys();
        Ok(Self { accepted, offers_algorithms, nonces, realm: realm.to_owned() })
    }

    /// What makes the nonces.
    #[must_use]
    pub const fn nonces(&self) -> &NonceIssuer {
        &self.nonces
    }

    /// The credentials that it accepts.
    #[must_use]
    pub const fn accepted(&self) -> &Arc<AcceptedCredentials> {
        &self.accepted
    }

    /// Accepts these credentials instead from now on, for the same realm.
    pub fn accept(&mut self, accepted: Arc<AcceptedCredentials>) {
        self.offers_algorithms = accepted.has_all_keys();
        self.accepted = accepted;
    }

    /// The REALM of every challenge.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// The NONCE of a challenge for this client. `offers_algorithms` says whether the challenge has PASSWORD-ALGORITHMS: see
    /// [`Self::offers_algorithms`].
    #[must_use]
    pub fn nonce(&self, now: UnixTime, client: SocketAddr, offers_algorithms: bool) -> Nonce {
        self.nonces.issue(now, client, offers_algorithms)
    }

    /// Whether a challenge may offer [password algorithms](PasswordAlgorithm::OFFER): not if only the MD5 key of some user is known.
    #[must_use]
    pub const fn offers_algorithms(&self) -> bool {
        self.offers_algorithms
    }

    /// Whether `nonce` was issued to `client` and is still valid. It proves that the sender receives what is sent to that address.
    #[must_use]
    pub fn recognises_nonce(&self, nonce: &[u8], now: UnixTime, client: IpAddr) -> bool {
        self.nonces.verify(nonce, now, client).is_ok()
    }

    /// Checks a request in the order of [RFC 8489](https://www.rfc-editor.org/rfc/rfc8489#section-9.2.4): first the user, then
    /// MESSAGE-INTEGRITY, then the nonce. So only a client that knows the password learns that its nonce is stale.
    ///
    /// # Errors
    ///
    /// When a check fails. Do not sign the error response: there is no key that both sides know. After a stale nonce there is one, but it
    /// [need not be used](https://www.rfc-editor.org/rfc/rfc8489#section-9.2.4).
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

        let algorithm = requested_algorithm(message, nonce)?;
        let username = username::text(message.username().ok_or(AuthError::Userhash)?)?;
        let authenticated = match self.accepted.users.get(username) {
            Some(keys) => {
                self.check_realm(realm)?;
                let key = keys.key(algorithm.hash()).ok_or(AuthError::WrongPassword)?;
                message.verify_integrity(key).map_err(|_| AuthError::WrongPassword)?;
                Authenticated { username, user_id: username, expiry: None, key: algorithm.signing(key.clone()) }
            }
            None => {
                let username = Username::parse(username, self.accepted.schemes)?;
                check_expiry(username.expiry, now)?;
                self.check_realm(realm)?;
                let key = self.key(message, algorithm, &username).ok_or(AuthError::WrongPassword)?;
                Authenticated {
                    username: username.text,
                    user_id: username.user_id(),
                    expiry: Some(username.expiry),
                    key,
                }
            }
        };
        self.nonces.verify(nonce, now, client.ip()).map_err(|_| AuthError::StaleNonce)?;
        Ok(authenticated)
    }

    /// Like [`Self::authenticate`], for a request from a client that has an allocation. The credentials that the allocation was made with,
    /// `holder`, stay valid as long as it exists, even if their secret is no longer accepted.
    ///
    /// # Errors
    ///
    /// Those of [`Self::authenticate`].
    pub fn authenticate_holder<'a>(
        &self,
        message: &Message<'a>,
        now: UnixTime,
        client: SocketAddr,
        holder: Holder<'_>,
    ) -> Result<Authenticated<'a>, AuthError> {
        if let Some(username) = message.username()
            && username == holder.username.as_bytes()
            && let Ok(username) = username::text(username)
            && message.realm() == Some(self.realm.as_bytes())
            && holder.expiry.is_none_or(|expiry| check_expiry(expiry, now).is_ok())
            && let Some(nonce) = message.nonce()
            && let Ok(algorithm) = requested_algorithm(message, nonce)
            && algorithm.hash() == holder.key.algorithm()
            && message.verify_integrity(holder.key).is_ok()
        {
            self.nonces.verify(nonce, now, client.ip()).map_err(|_| AuthError::StaleNonce)?;
            let user_id = Username::parse(username, self.accepted.schemes).map_or(username, |parsed| parsed.user_id());
            let key = algorithm.signing(holder.key.clone());
            return Ok(Authenticated { username, user_id, expiry: holder.expiry, key });
        }
        self.authenticate(message, now, client)
    }

    fn check_realm(&self, realm: &[u8]) -> Result<(), AuthError> {
        if realm == self.realm.as_bytes() { Ok(()) } else { Err(AuthError::WrongRealm) }
    }

    /// The key that the request is signed with, if `username` and one of the secrets give that key.
    fn key(&self, message: &Message<'_>, algorithm: Algorithm, username: &Username<'_>) -> Option<IntegrityKey> {
        let AcceptedCredentials { schemes, secrets, .. } = &*self.accepted;
        secrets.iter().flat_map(|secret| schemes.iter().map(move |scheme| (scheme, secret))).find_map(
            |(scheme, secret)| {
                let password = scheme.password(secret, username)?;
                let key = IntegrityKey::long_term(algorithm.hash(), username.text, &self.realm, &password);
                message.verify_integrity(&key).is_ok().then(|| algorithm.signing(key))
            },
        )
    }
}

/// How a request is signed.
#[derive(Clone, Copy)]
enum Algorithm {
    /// As in RFC 5389: no algorithm is named.
    Unnamed,
    /// With a key of this algorithm. The response is signed with MESSAGE-INTEGRITY-SHA256.
    Named(PasswordAlgorithm),
}

impl Algorithm {
    const fn hash(self) -> PasswordAlgorithm {
        match self {
            Self::Unnamed => PasswordAlgorithm::Md5,
            Self::Named(hash) => hash,
        }
    }

    const fn signing(self, key: IntegrityKey) -> IntegrityKey {
        match self {
            Self::Unnamed => key,
            Self::Named(_) => key.signing_with_sha256(),
        }
    }
}

/// The algorithm that a request with this NONCE [is signed with](https://www.rfc-editor.org/rfc/rfc8489#section-9.2.4). A nonce without
/// cookie came without an offer, so any algorithm that the request names is ignored.
fn requested_algorithm(message: &Message<'_>, nonce: &[u8]) -> Result<Algorithm, AuthError> {
    if !Nonce::is_offer(nonce) {
        return Ok(Algorithm::Unnamed);
    }
    match message.requested_algorithm() {
        RequestedAlgorithm::Unnamed => Ok(Algorithm::Unnamed),
        RequestedAlgorithm::Named(algorithm) => Ok(Algorithm::Named(algorithm)),
        RequestedAlgorithm::Invalid => Err(AuthError::PasswordAlgorithms),
    }
}

const fn check_expiry(expiry: UnixTime, now: UnixTime) -> Result<(), AuthError> {
    match now.0.checked_sub(expiry.0) {
        Some(seconds_ago) => Err(AuthError::Expired { seconds_ago }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod accepted_tests;
#[cfg(test)]
mod algorithm_tests;
#[cfg(test)]
mod tests;
