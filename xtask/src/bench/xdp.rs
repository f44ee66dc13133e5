//! `cargo xtask bench xdp`: nanoseconds per packet of the XDP program, per direction and pair of address families.

use anyhow::Result;

use crate::{
    command::{self, cargo},
    setup::{self, Use},
};

/// Measure the XDP program in the kernel, without any interface; needs the privileges that loading it needs.
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn main(Args {}: &Args) -> Result<()> {
    setup::ensure(&[Use::Run])?;
    // A build that lacks the program has nothing to measure.
    command::run(cargo().env("RELAY_EBPF", "require").args(["bench", "--package", "relay-ebpf", "--bench", "xdp"]))
}
