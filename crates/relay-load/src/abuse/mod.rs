//! `relay-load abuse`: measures a relay on this machine under crowds, noisy neighbours and attackers.

mod amplification;
mod connections;
mod crowd;
mod crowd_of_connections;
mod cycles;
mod echo;
mod figures;
mod good_client;
mod indications;
mod keepalive;
mod kill;
mod mutate;
mod mutated;
mod neighbour;
mod original;
mod pair;
mod people;
mod relay;
mod soak;
mod strangers;

use std::{ffi::OsString, path::PathBuf};

use anyhow::Result;
use clap::Subcommand;

use self::relay::{Relay, Starter};
use crate::{process, started};

/// Do to a relay on this machine what crowds, noisy neighbours and attackers do, and print what came of it. Every address is one of the
/// loopback network, or of network namespaces that this program makes. It fails when a goal is missed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The relay's program, which is started at free ports.
    #[arg(long, value_name = "FILE")]
    relay: PathBuf,
    /// An option for the relay, such as `--relay-option=--reply-limit=1000`; as often as wanted.
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    relay_option: Vec<OsString>,
    /// Fail where a part would have to be skipped, for want of root for instance.
    #[arg(long)]
    no_skips: bool,
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
    Strangers(strangers::Args),
    Mutated(mutated::Args),
    Cycles(cycles::Args),
    Connections(connections::Args),
    Kill(kill::Args),
    Soak(soak::Args),
}

pub(crate) fn main(args: &Args) -> Result<()> {
    process::raise_open_files()?;
    started::end_with_this_program()?;
    let starter = || Starter::new(&args.relay, &args.relay_option, args.no_skips);
    let with_relay = |scenario: &dyn Fn(&mut Relay) -> Result<()>| {
        let starter = starter()?;
        let mut relay = starter.start()?;
        scenario(&mut relay)?;
        relay.ensure_running()?;
        relay.stop()
    };
    match &args.scenario {
        Scenario::Amplification(args) => with_relay(&|relay| amplification::main(args, relay)),
        Scenario::Keepalive(args) => with_relay(&|relay| keepalive::main(args, relay)),
        Scenario::Neighbour(args) => with_relay(&|relay| neighbour::main(args, relay)),
        Scenario::Crowd(args) => with_relay(&|relay| crowd::main(args, relay)),
        Scenario::Indications(args) => with_relay(&|relay| indications::main(args, relay)),
        Scenario::Strangers(args) => with_relay(&|relay| strangers::main(args, relay)),
        Scenario::Mutated(args) => with_relay(&|relay| mutated::main(args, relay)),
        Scenario::Connections(args) => with_relay(&|relay| connections::main(args, relay)),
        // These scenarios start the relay themselves, with changed options.
        Scenario::Cycles(args) => cycles::main(args, &starter),
        Scenario::Kill(args) => kill::main(args, &starter),
        Scenario::Soak(args) => soak::main(args, &starter),
    }
}
