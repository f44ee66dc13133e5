//! Authenticates requests.

use allocation::Credential;
use stun_msg::{IntegrityKey, Message, Method};
use turn_auth::{AuthError, Authenticated, Holder, UnixTime};

use crate::{FiveTuple, QuotaBy, Server, Timestamp};

impl Server {
    /// Authenticates a request.
    ///
    /// The client of an allocation may use the credentials that it was made with, even after their secret is no longer accepted.
    /// Unless [`Config::strict_expiry`](crate::Config::strict_expiry) is set, it may also use them after they have expired,
    /// except for Allocate: a call may outlive its credential.
    pub(crate) fn authenticate<'a>(
        &self,
        now: Timestamp,
        from: &FiveTuple,
        message: &Message<'a>,
    ) -> Result<Authenticated<'a>, AuthError> {
        let (now, client) = (self.unix_time(now), from.client.address());
        let allocation = if message.has_integrity() { self.allocations.by_five_tuple(from) } else { None };
        let Some(allocation) = allocation else {
            return self.authenticator.authenticate(message, now, client);
        };
        let owner = allocation.owner();
        let Some(key) = IntegrityKey::from_bytes(owner.key()) else {
            return self.authenticator.authenticate(message, now, client);
        };
        let is_expiry_asked_for = self.config.strict_expiry || message.method() == Method::ALLOCATE;
        let expiry = owner.expires_at().filter(|_| is_expiry_asked_for).map(UnixTime);
        let holder = Holder { username: owner.username(), key: &key, expiry };
        self.authenticator.authenticate_holder(message, now, client, holder)
    }

    /// The credential that an allocation is made with.
    pub(crate) fn credential<'a>(&self, authenticated: &'a Authenticated<'_>) -> Credential<'a> {
        Credential {
            username: authenticated.username,
            user_id: match self.config.quota_by {
                QuotaBy::Username => authenticated.username,
                QuotaBy::UserId => authenticated.user_id,
            },
            key: authenticated.key.as_bytes(),
            expires_at: authenticated.expiry.map(|expiry| expiry.0),
        }
    }
}
