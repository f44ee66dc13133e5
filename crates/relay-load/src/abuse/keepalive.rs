//! Clients that keep their NAT mappings alive with Binding requests.

use std::{
    net::{IpAddr, Ipv4Addr},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use turn_client::Allocate;

use super::{people::STANDARD, relay::Relay};
use crate::clock;

/// Clients with allocations behind one address keep their NAT's mapping by Binding requests.
#[derive(clap::Args)]
pub(super) struct Args {
    /// How many clients.
    #[arg(long, default_value_t = 100)]
    clients: usize,
    /// How long between two Binding requests of one client, in seconds.
    #[arg(long, default_value_t = 2.0)]
    every: f64,
    /// How many Binding requests each client sends.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
}

pub(super) fn main(args: &Args, relay: &Relay) -> Result<()> {
    let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let every = Duration::try_from_secs_f64(args.every).context("--every")?;
    ensure!(args.clients > 0, "--clients is 0: give a number of clients, such as 100");
    let mut clients = Vec::new();
    for user in 0..args.clients {
        let mut client = relay.client(host, user, STANDARD)?;
        client.allocate(Allocate::default()).with_context(|| format!("client {user} got no allocation"))?;
        // One transmission: the scenario counts who is answered at once.
        clients.push(client.with_retransmission(Duration::from_millis(500), 1));
    }
    println!("{} clients have allocations", clients.len());
    let start = clock::instant();
    for round in 1..=args.rounds {
        let answered = clients.iter_mut().map(|client| client.mapped_address().is_ok()).filter(|answered| *answered);
        println!("  round {round} after {:.1} s: {} answered", start.elapsed().as_secs_f64(), answered.count());
        if round < args.rounds {
            let next = every.saturating_mul(u32::try_from(round).unwrap_or(u32::MAX));
            thread::sleep(next.saturating_sub(start.elapsed()));
        }
    }
    clients.iter_mut().for_each(|client| _ = client.refresh(Duration::ZERO));
    Ok(())
}
