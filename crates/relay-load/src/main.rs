//! Puts load on TURN servers, checks every payload, and compares servers: `cargo xtask load`, `cargo xtask bench e2e`.
#![forbid(unsafe_code)]

mod abuse;
mod client;
mod clients;
mod clock;
mod e2e;
mod flood;
mod floor;
mod flows;
mod histogram;
mod http;
mod interrupt;
mod lane;
mod load;
mod netns;
mod others;
mod payload;
mod poller;
mod process;
mod sequence;
mod socket;
mod spare;
mod started;
mod traffic;
mod wrap;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Puts load on TURN servers, checks every payload, and compares servers.
#[derive(Parser)]
#[command(name = "relay-load", max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(load::Args),
    Floor(floor::Args),
    E2e(e2e::Args),
    Abuse(abuse::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => load::main(&args),
        Command::Floor(args) => floor::main(&args),
        Command::E2e(args) => e2e::main(&args),
        Command::Abuse(args) => abuse::main(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
