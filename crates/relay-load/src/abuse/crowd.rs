//! A crowd behind one address that allocates at about the same time.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::{
    people::{self, STANDARD},
    relay::Relay,
};

/// Many people behind one address want an allocation at about the same time.
#[derive(clap::Args)]
pub(super) struct Args {
    /// How many.
    #[arg(long, default_value_t = 400)]
    people: usize,
    /// Within how many seconds they come.
    #[arg(long, default_value_t = 2.0)]
    within: f64,
    /// How many Binding requests each of them sends before, as ICE with a `stun:` entry does.
    #[arg(long, default_value_t = 3)]
    bindings: usize,
}

pub(super) fn main(args: &Args, relay: &Relay) -> Result<()> {
    let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let within = Duration::try_from_secs_f64(args.within).context("--within")?;
    let clients = (0..args.people).map(|user| relay.client(host, user, STANDARD)).collect::<Result<Vec<_>>>()?;
    println!("{} people come within {} s", args.people, args.within);
    let waits = people::allocate_all(clients, within, args.bindings)?;
    people::print_waits("allocations", &waits);
    Ok(())
}
