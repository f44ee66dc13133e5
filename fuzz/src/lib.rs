//! What the fuzz targets do, as plain functions that panic when something is wrong.
//!
//! `cargo +nightly fuzz run <target>` looks for input that makes one panic; `cargo run --bin <target> -- FILE...`, with any
//! toolchain, runs a target on files, such as those that cargo-fuzz has left; `cargo test` runs all of them on the committed corpora.
#![forbid(unsafe_code)]

mod authentication;
mod capture;
mod datagram;
mod indication;
mod input;
mod operations;
mod portal;
mod recording;
mod request;
mod response;
mod rewrite;
mod run;
mod snapshot;

/// The reference model of the relay, which its own tests use.
#[path = "../../crates/relay-server/tests/model"]
#[allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "of tests, and a part of them")]
mod model {
    pub(crate) mod cast;
    pub(crate) mod ledger;
    pub(crate) mod op;
    pub(crate) mod pair;
    pub(crate) mod reference;
    pub(crate) mod route;
    pub(crate) mod setup;
    #[path = "../support/mod.rs"]
    pub(crate) mod support;
}
// Where it looks for its parts.
const RESTORES: bool = false;
use model::{cast, ledger, op, pair, reference, route, setup, support};

/// What the portal says: without the rest of its crate, which would bring TLS and an executor with it.
#[path = "../../crates/portal-client/src/message.rs"]
#[allow(dead_code, reason = "what the relay says is not tried here")]
mod portal_message;

pub use authentication::authentication;
pub use capture::capture;
pub use datagram::datagram;
pub use indication::indication;
pub use operations::operations;
pub use portal::portal;
pub use recording::recording;
pub use request::request;
pub use response::response;
pub use rewrite::rewrite;
pub use run::run_files;
pub use snapshot::snapshot;

/// The main function of the fuzz target with this body.
#[macro_export]
macro_rules! target {
    ($body:path) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|input: &[u8]| $body(input));

        #[cfg(not(fuzzing))]
        fn main() -> std::process::ExitCode {
            $crate::run_files($body)
        }
    };
}

#[cfg(test)]
mod replay;
