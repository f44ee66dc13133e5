//! What the tests of this workspace share.
//!
//! [`capability`] decides whether a test that needs something of the machine runs. `relay` starts the real binary, and has what
//! its clients do in many tests. What needs other crates comes with cargo features, so that no crate compiles what its tests do not
//! use.
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
#[cfg(not(target_arch = "wasm32"))]
pub mod collector;
#[cfg(not(target_arch = "wasm32"))]
pub mod echo;
#[cfg(not(target_arch = "wasm32"))]
pub mod http;
#[cfg(all(feature = "netns", target_os = "linux"))]
pub mod namespace;
#[cfg(not(target_arch = "wasm32"))]
pub mod port;
#[cfg(not(target_arch = "wasm32"))]
pub mod program;
#[cfg(feature = "property")]
pub mod property;
#[cfg(all(feature = "relay", not(target_arch = "wasm32")))]
pub mod relay;
#[cfg(not(target_arch = "wasm32"))]
mod wait;

#[cfg(not(target_arch = "wasm32"))]
pub use wait::{PATIENCE, wait_until};
