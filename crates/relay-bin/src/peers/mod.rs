//! The operator's rules about the peers that clients may reach.

mod config;
mod rules;
mod watch;

pub(crate) use self::{
    config::PeerConfig,
    rules::{RuleSources, SourcedRule},
    watch::watch,
};
