//! A test for each requirement of RFC 8656 (TURN) and RFC 8489 (STUN) that applies to this relay. `docs/conformance.md` lists them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod accounting;
mod allocate;
mod authentication;
mod bandwidth;
mod binding;
mod channel;
mod channel_data;
mod credentials;
mod crossing;
mod general;
mod icmp;
mod indication;
mod password_algorithms;
mod peers;
mod permission;
mod refresh;
#[path = "../support/mod.rs"]
mod support;

/// Whether a [`support::Relay`] replaces its server with one restored from a snapshot after every input.
const RESTORES: bool = true;
