//! What a secret of each credential scheme may be.

use turn_auth::{AuthSecret, Scheme, Schemes, SecretError};

/// The secret that a text is. Secrets of other programs are any text; where nobody said that it is one of those, one that can be guessed
/// is refused.
pub(crate) fn parse_secret(text: &str, schemes: Schemes) -> Result<AuthSecret, SecretError> {
    match schemes {
        Schemes::Only(Scheme::TurnRest) => AuthSecret::any_text(text),
        _ => AuthSecret::new(text),
    }
}

/// What to do about a text that is no secret.
pub(crate) const fn advice(schemes: Schemes) -> &'static str {
    match schemes {
        Schemes::Only(_) => "give a long random string, such as `openssl rand -hex 32` prints",
        Schemes::Both => {
            "give a long random string, such as `openssl rand -hex 32` prints, or --credential-scheme turn-rest, which takes \
             any text that coturn does"
        }
    }
}

/// The scheme that mints where these are accepted.
pub(crate) const fn minting_scheme(schemes: Schemes) -> Scheme {
    match schemes {
        Schemes::Only(scheme) => scheme,
        Schemes::Both => Scheme::Firezone,
    }
}
