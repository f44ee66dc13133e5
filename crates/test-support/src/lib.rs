//! What the tests of this workspace share.
//!
//! [`capability`] decides whether a test that needs something of the machine runs, and [`port`] finds free ports; both are always
//! there. The rest comes with cargo features, so that no crate compiles what its tests do not use.
//!
//! Functions panic where something goes wrong, since their callers are tests.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure in here fails the test that calls"
)]

#[cfg(not(target_arch = "wasm32"))]
pub mod capability;
#[cfg(all(feature = "netns", target_os = "linux"))]
pub mod namespace;
#[cfg(not(target_arch = "wasm32"))]
pub mod port;
#[cfg(feature = "property")]
pub mod property;
