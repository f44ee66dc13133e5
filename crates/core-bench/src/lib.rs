//! A relay without sockets, with many clients, to be measured.
//!
//! [`SCENARIOS`] and [`EXPIRIES`] are what is measured. `cargo bench -p core-bench` tells the time of each scenario beside 10, 1,000 and
//! 100,000 allocations, the latter in two state machines (see [`Relay`]); `cargo xtask bench instructions` counts instructions and
//! compares them with what is committed; it also tells whether a [comparison with a secret](COMPARISONS) takes as many wherever a guess is wrong.
#![forbid(unsafe_code)]

mod relay;
mod scenario;
mod secrets;

pub use relay::{Relay, STRIDE};
pub use scenario::{EXPIRIES, Expiry, SCENARIOS, Scenario};
pub use secrets::{COMPARISONS, Comparison};
