//! What each credential scheme requires of a secret.

use turn_auth::{AuthSecret, Scheme, Schemes, SecretError};

/// Parses a secret. If `schemes` is TURN REST only, any text will do, as in other programs. Otherwise a secret that could be
/// guessed is refused.
pub(crate) fn parse_secret(text: &str, schemes: Schemes) -> Result<AuthSecret, SecretError> {
    match schemes {
        Schemes::Only(Scheme::TurnRest) => AuthSecret::any_text(text),
        _ => AuthSecret::new(text),
    }
}

/// What to advise if a text is not a secret.
pub(crate) const fn advice(schemes: Schemes) -> &'static str {
    match schemes {
        Schemes::Only(_) => "give a long random string, such as `openssl rand -hex 32` prints",
        Schemes::Both => {
            "give a long random string, such as `openssl rand -hex 32` prints, or --credential-scheme turn-rest, which takes \
             any text that coturn does"
        }
    }
}

/// The scheme that mints if `schemes` are accepted.
pub(crate) const fn minting_scheme(schemes: Schemes) -> Scheme {
    match schemes {
        Schemes::Only(scheme) => scheme,
        Schemes::Both => Scheme::Firezone,
    }
}
