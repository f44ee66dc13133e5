//! Which peers the operator lets clients reach.

mod config;
mod rules;
mod watch;

pub(crate) use self::{
    config::PeerConfig,
    rules::{RuleSources, SourcedRule},
    watch::watch,
};
