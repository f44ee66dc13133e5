/// A formula that makes a password from a secret and a username, so that a relay needs to store neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Username `{expiry}:{salt}`, password base64(SHA-256(`{expiry}:{secret}:{salt}`)) without padding.
    Firezone,
    /// The "TURN REST API", known from coturn. Username `{expiry}:{user id}`, `{expiry}` or `{user id}:{expiry}`, password
    /// base64(HMAC-SHA1(secret, username)) with padding.
    TurnRest,
}

/// The schemes that a relay accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Schemes {
    /// One.
    Only(Scheme),
    /// Both: a password of either scheme is accepted.
    Both,
}

impl Schemes {
    /// The accepted schemes.
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
