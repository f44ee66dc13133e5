//! `relay-load abuse`: what crowds and noisy neighbours do to a relay that limits its replies, and who was served when.

mod amplification;
mod crowd;
mod indications;
mod keepalive;
mod neighbour;
mod people;

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use turn_auth::AuthSecret;

use crate::process;

/// Have many clients of one address, or one noisy address, ask a relay on this machine, and tell who was served when. Hosts are
/// addresses of the loopback network.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The relay, at a loopback address.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:3478")]
    server: SocketAddr,
    /// The secret that its credentials are made with.
    #[arg(long)]
    secret: String,
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    Amplification(amplification::Args),
    Keepalive(keepalive::Args),
    Neighbour(neighbour::Args),
    Crowd(crowd::Args),
    Indications(indications::Args),
}

pub(crate) fn main(args: &Args) -> Result<()> {
    anyhow::ensure!(args.server.ip().is_loopback(), "{} is not a loopback address: this floods", args.server);
    process::raise_open_files()?;
    let secret = AuthSecret::new(&args.secret).context("--secret")?;
    let relay = people::Relay { address: args.server, secret };
    match &args.scenario {
        Scenario::Amplification(args) => amplification::main(args, &relay),
        Scenario::Keepalive(args) => keepalive::main(args, &relay),
        Scenario::Neighbour(args) => neighbour::main(args, &relay),
        Scenario::Crowd(args) => crowd::main(args, &relay),
        Scenario::Indications(args) => indications::main(args, &relay),
    }
}
