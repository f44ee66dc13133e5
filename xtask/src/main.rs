//! Build, run, test and measure the relay.
#![forbid(unsafe_code)]
fn main() {}
