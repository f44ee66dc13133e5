//! The checked configuration of accepted credentials.

use std::{sync::Arc, time::Duration};

use turn_auth::{AcceptedCredentials, AuthSecret, Scheme};

use super::{scheme::minting_scheme, sources::Sources};

/// The credentials that the relay accepts, and how.
#[derive(Clone, Debug)]
pub(crate) struct CredentialConfig {
    pub(crate) sources: Sources,
    /// The credentials at the start.
    pub(crate) accepted: Arc<AcceptedCredentials>,
    /// Whether the secret was drawn at random, so that only this process knows it.
    pub(crate) is_drawn: bool,
    pub(crate) strict_expiry: bool,
    pub(crate) nonce_lifetime: Duration,
    /// Whether a portal mints all credentials.
    pub(crate) is_portal_s: bool,
    pub(crate) print_when: PrintWhen,
}

/// When to print credentials at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PrintWhen {
    Always,
    Never,
    #[default]
    OnATerminal,
}

impl CredentialConfig {
    /// The secret that mints credentials, if there is one.
    pub(crate) fn secret(&self) -> Option<&AuthSecret> {
        self.accepted.secrets.first()
    }

    /// Takes over what another process has drawn: its secret, where nobody else knows it, and the key of its nonces.
    pub(crate) fn inherit(&mut self, drawn: Option<AuthSecret>, nonce_key: Option<[u8; 32]>) {
        let accepted = Arc::make_mut(&mut self.accepted);
        if let Some(drawn) = drawn.filter(|_| self.is_drawn) {
            accepted.secrets = vec![drawn];
        }
        if let (Some(key), true) = (nonce_key, accepted.nonce_key.is_some()) {
            accepted.nonce_key = Some(key.into());
        }
    }

    /// The scheme of minted credentials.
    pub(crate) const fn minting_scheme(&self) -> Scheme {
        minting_scheme(self.sources.schemes)
    }

    /// The shell arguments with which `firezone-relay credentials` mints for this relay. They show a secret only if it was drawn.
    pub(crate) fn minting_arguments(&self) -> String {
        let secret = match (self.secret(), &self.sources.secrets_file) {
            (Some(drawn), _) if self.is_drawn => format!("--secret {}", drawn.expose()),
            (_, Some(file)) if self.sources.secrets.is_empty() => format!("--secret-file \"{}\"", file.display()),
            _ => "--secret \"$AUTH_SECRET\"".to_owned(),
        };
        match self.minting_scheme() {
            Scheme::Firezone => secret,
            Scheme::TurnRest => format!("{secret} --credential-scheme turn-rest"),
        }
    }

    /// Logs what is accepted, with warnings for the operator.
    pub(crate) fn log(&self) {
        let AcceptedCredentials { secrets, users, .. } = &*self.accepted;
        let schemes: Vec<_> = self.sources.schemes.iter().collect();
        tracing::info!(?schemes, secrets = secrets.len(), users = users.len(), "accepting credentials");
        let short = secrets.iter().filter(|secret| secret.expose().len() < AuthSecret::MIN_LEN).count();
        if short > 0 {
            tracing::warn!(
                short,
                "a secret of fewer than {} characters can be guessed by whoever has one credential, who can then make others",
                AuthSecret::MIN_LEN
            );
        }
    }
}
