//! Build, run, test and measure the relay: `cargo xtask --help`.
//!
//! One file (or folder) per subcommand. What a subcommand needs from the machine is a row of the table in
//! `setup/needs.rs`; what `cargo xtask test` runs is a row of the table in `test/steps.rs`.
#![forbid(unsafe_code)]

mod abuse;
mod bench;
mod command;
mod imports;
mod load;
mod playground;
mod portal;
mod run;
mod setup;
mod simulate;
mod test;
mod wasm;
mod webrtc_demo;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Build, run, test and measure the relay.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Abuse(abuse::Args),
    Bench(bench::Args),
    Imports(imports::Args),
    Load(load::Args),
    Playground(playground::Args),
    Portal(portal::Args),
    Run(run::Args),
    Setup(setup::Args),
    Simulate(simulate::Args),
    Test(test::Args),
    WebrtcDemo(webrtc_demo::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Abuse(args) => abuse::main(&args),
        Command::Bench(args) => bench::main(&args),
        Command::Imports(args) => imports::main(&args),
        Command::Load(args) => load::main(&args),
        Command::Playground(args) => playground::main(&args),
        Command::Portal(args) => portal::main(&args),
        Command::Run(args) => run::main(&args),
        Command::Setup(args) => setup::main(&args),
        Command::Simulate(args) => simulate::main(&args),
        Command::Test(args) => test::main(&args),
        Command::WebrtcDemo(args) => webrtc_demo::main(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
