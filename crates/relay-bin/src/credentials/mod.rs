//! Which credentials the relay accepts, where they come from, and how they are minted.

mod config;
mod files;
mod mint;
mod scheme;
mod sources;
mod watch;

pub(crate) use self::{
    config::{CredentialConfig, PrintWhen},
    files::{Users, secrets as secrets_of, user as parse_user},
    mint::{DEFAULT_TTL, IceServer, PRINTED_USER, mint_for_about, mint_for_anybody},
    scheme::{advice, minting_scheme, parse_secret},
    sources::Sources,
    watch::watch,
};
