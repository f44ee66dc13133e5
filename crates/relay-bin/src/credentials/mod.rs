//! Whose requests the relay accepts, from options and files, and how credentials are minted.

mod files;
mod mint;
mod options;
mod scheme;
mod sources;
mod watch;

pub(crate) use self::{
    mint::{DEFAULT_TTL, IceServer, MintOptions, PRINTED_USER, mint_for_about, run},
    options::{CredentialConfig, CredentialOptions},
    watch::Watch,
};
