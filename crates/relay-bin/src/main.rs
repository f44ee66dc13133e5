//! `firezone-relay`: a STUN/TURN relay.
//!
//! Everything that decides is in `relay-server`; here is what touches the world: options, sockets, threads, signals, logs.
#![deny(unsafe_code)]

mod addresses;
mod banner;
mod cli;
mod clock;
mod config;
mod control;
mod credentials;
mod drain;
mod duration;
mod family;
mod health;
mod limits;
mod listen;
mod logging;
mod memory;
mod offload;
mod operations;
mod portal;
mod ports;
mod problems;
mod record;
mod relay;
mod shard;
mod shutdown;
mod socket;
mod stats;
mod telemetry;
mod threads;
mod throttle;
mod version;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;

use crate::{
    addresses::ThisHost,
    cli::{Cli, Command, Options},
    clock::Clock,
    config::{Config, OsEntropy},
    logging::Logging,
    operations::Operations,
    problems::Problems,
};

/// Something failed while running.
const FAILURE: u8 = 1;
/// An option is wrong. clap exits with the same.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let Cli { command, options } = Cli::parse();
    match command {
        None => relay(&options),
        Some(Command::Credentials(options)) => match credentials::run(&options, Clock::unix_time(), &OsEntropy) {
            Ok(credentials) => print_line(&credentials),
            Err(problems) => usage(&problems),
        },
    }
}

fn relay(options: &Options) -> ExitCode {
    let (logging, config) = match (Logging::new(options), Config::new(options, &ThisHost, &OsEntropy)) {
        (Ok(logging), Ok(config)) => (logging, config),
        (logging, config) => {
            for problems in [logging.err(), config.err()].iter().flatten() {
                usage(problems);
            }
            return ExitCode::from(USAGE);
        }
    };
    match operate(logging, &config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&format!("{error:#}"));
            ExitCode::from(FAILURE)
        }
    }
}

fn operate(logging: Logging, config: &Config) -> anyhow::Result<()> {
    let mut operations = Operations::start(config.operations.telemetry.as_ref())?;
    let filter = logging.start(operations.tracer())?;
    let result = relay::run(config, &mut operations, filter);
    operations.stop();
    result
}

fn usage(problems: &Problems) -> ExitCode {
    for problem in problems.iter() {
        report(problem);
    }
    ExitCode::from(USAGE)
}

fn report(error: &str) {
    // There is nowhere else to say it.
    let _ = writeln!(io::stderr().lock(), "error: {error}");
}

fn print_line(line: &str) -> ExitCode {
    match writeln!(io::stdout().lock(), "{line}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&format!("cannot write to stdout: {error}"));
            ExitCode::from(FAILURE)
        }
    }
}
