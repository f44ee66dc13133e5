//! Credential schemes, as options name them.

use turn_auth::{AuthSecret, Scheme, Schemes, SecretError};

use crate::problems::Name;

pub(super) const CREDENTIAL_SCHEME: Name = Name::new("--credential-scheme", "CREDENTIAL_SCHEME");

/// The schemes with this name.
pub(super) fn parse(name: &str) -> Option<Schemes> {
    match name {
        "firezone" => Some(Schemes::Only(Scheme::Firezone)),
        "turn-rest" => Some(Schemes::Only(Scheme::TurnRest)),
        "both" => Some(Schemes::Both),
        _ => None,
    }
}

/// The secret that a text is. Secrets of other programs are any text; where nobody said that it is one of those, one that can be guessed
/// is refused.
pub(super) fn secret(text: &str, schemes: Schemes) -> Result<AuthSecret, SecretError> {
    match schemes {
        Schemes::Only(Scheme::TurnRest) => AuthSecret::any_text(text),
        _ => AuthSecret::new(text),
    }
}

/// What to do about a text that is no secret.
pub(super) const fn advice(schemes: Schemes) -> &'static str {
    match schemes {
        Schemes::Only(_) => "give a long random string, such as `openssl rand -hex 32` prints",
        Schemes::Both => {
            "give a long random string, such as `openssl rand -hex 32` prints, or --credential-scheme turn-rest, which takes \
             any text that coturn does"
        }
    }
}
