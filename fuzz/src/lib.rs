//! What the fuzz targets do, as plain functions that panic when something is wrong.
//!
//! `cargo +nightly fuzz run <target>` looks for input that makes one panic; `cargo run --bin <target> -- FILE...`, with any
//! toolchain, runs a target on files, such as those that cargo-fuzz has left; `cargo test` runs all of them on the committed corpora.
#![forbid(unsafe_code)]

mod authentication;
mod datagram;
mod indication;
mod input;
mod request;
mod response;
mod run;

pub use authentication::authentication;
pub use datagram::datagram;
pub use indication::indication;
pub use request::request;
pub use response::response;
pub use run::run_files;

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
