//! `cargo xtask bench`: measures the relay.

mod e2e;
pub(crate) mod instructions;
mod plot;
mod xdp;

use anyhow::Result;
use clap::Subcommand;

/// Measure the relay.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    E2e(e2e::Args),
    Instructions(instructions::Args),
    Plot(plot::Args),
    Xdp(xdp::Args),
}

pub(crate) fn main(args: &Args) -> Result<()> {
    match &args.what {
        What::E2e(args) => e2e::main(args),
        What::Instructions(args) => instructions::main(args),
        What::Plot(args) => plot::main(args),
        What::Xdp(args) => xdp::main(args),
    }
}
