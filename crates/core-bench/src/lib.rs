//! A relay without sockets, with many clients, to be measured.
//!
//! [`SCENARIOS`] are what is measured. `cargo bench -p core-bench` tells the time of each beside 10, 1,000 and 60,000 allocations (a
//! relay has no more ports than 65,535); `cargo xtask bench instructions` counts instructions and compares them with what is
//! committed.
#![forbid(unsafe_code)]

mod client;
mod relay;
mod scenario;

pub use relay::{Relay, STRIDE};
pub use scenario::{SCENARIOS, Scenario};
