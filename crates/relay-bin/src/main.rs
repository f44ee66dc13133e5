//! `firezone-relay`: a STUN/TURN relay.
//!
//! The protocol is decided in `relay-server`. This crate does the I/O: options, sockets, threads, signals, logs.
#![deny(unsafe_code)]

mod accounting;
mod addresses;
mod clock;
mod credentials;
mod doctor;
mod explain;
mod faults;
mod file_watch;
mod files;
mod handover;
mod listen;
mod logging;
mod names;
mod offload;
mod operations;
mod option_names;
mod options;
mod output;
mod peers;
mod phase;
mod portal;
mod record;
mod relay;
mod shard;
mod supervise;
mod telemetry;
mod text_file;
mod throttle;
mod upgrade;
mod version;

use std::{
    io::{self, IsTerminal as _, Write},
    process::ExitCode,
};

use crate::{
    addresses::ThisHost,
    clock::Clock,
    explain::Explained,
    logging::Logging,
    operations::Operations,
    options::{
        CheckPeerOptions, Cli, Collector, Command, Config, DoctorOptions, ExplainOptions, OperationsConfig, Options,
        OsEntropy, Problems,
    },
    output::Output,
};

/// The exit status after a failure at run time.
const FAILURE: u8 = 1;
/// The exit status after a wrong option, the same as clap's, and for a capture that cannot be read.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let Cli { command, options } = match Cli::read(io::stderr().is_terminal()) {
        Ok(cli) => cli,
        Err(problem) => return refuse(problem),
    };
    match command {
        None => relay(&options),
        Some(Command::Credentials(minting)) => match options::mint(&minting, Clock::unix_time(), &OsEntropy) {
            Ok(credentials) => print_line(&credentials),
            Err(problems) => usage(&problems),
        },
        Some(Command::CheckPeer(asked)) => check_peer(&asked),
        Some(Command::Doctor(asked)) => examine(&asked),
        Some(Command::Explain(asked)) => explain_capture(&asked),
        Some(Command::Upgrade(asked)) => match upgrade::upgrade(asked.process) {
            Ok(new) => print_line(&format!("process {new} has taken over")),
            Err(error) => {
                report(&format!("{error:#}"));
                ExitCode::from(FAILURE)
            }
        },
        Some(Command::Supervise) => supervise::run(),
    }
}

fn explain_capture(asked: &ExplainOptions) -> ExitCode {
    let Explained { text, error, has_failures } = explain::explain(&asked.file, asked.json, asked.verbose);
    let printed = text.map_or(ExitCode::SUCCESS, |text| print_line(&text));
    if let Some(error) = error {
        report(&format!("{error:#}"));
        return ExitCode::from(USAGE);
    }
    if printed == ExitCode::SUCCESS && has_failures { ExitCode::from(FAILURE) } else { printed }
}

fn check_peer(asked: &CheckPeerOptions) -> ExitCode {
    match options::check_peer(asked, &ThisHost::look(), &OsEntropy) {
        Ok((explanation, is_allowed)) => match print_line(&explanation) {
            ExitCode::SUCCESS if !is_allowed => ExitCode::from(FAILURE),
            code => code,
        },
        Err(problems) => usage(&problems),
    }
}

fn examine(asked: &DoctorOptions) -> ExitCode {
    let report = options::doctor(asked, &doctor::System::this(), &ThisHost::look(), &OsEntropy);
    match print_line(&if asked.json { report.to_json() } else { report.to_text() }) {
        ExitCode::SUCCESS => ExitCode::from(report.exit_code()),
        code => code,
    }
}

/// Prints what is wrong with the command line. Exits even if nobody reads it.
fn refuse(problem: String) -> ExitCode {
    match Output::start() {
        Ok(output) => {
            output.stderr.say(problem);
            output.finish();
        }
        Err(_) => {
            // There is no other place to report it.
            let _ = io::stderr().lock().write_all(problem.as_bytes());
        }
    }
    ExitCode::from(USAGE)
}

fn relay(options: &Options) -> ExitCode {
    let output = match Output::start() {
        Ok(output) => output,
        Err(error) => {
            report(&format!("{error:#}"));
            return ExitCode::from(FAILURE);
        }
    };
    let code = run(options, &output);
    output.finish();
    code
}

fn run(options: &Options, output: &Output) -> ExitCode {
    let (logging, config) =
        match (options::read_logging(&options.logging), Config::new(options, &ThisHost::look(), &OsEntropy)) {
            (Ok(logging), Ok(config)) => (logging, Ok(config)),
            // Some problems may pass, as at boot, when the network is not up yet.
            (Ok(logging), Err(problems)) if problems.may_pass() => (logging, Err(problems)),
            (logging, config) => {
                for problem in [logging.err(), config.err()].iter().flatten().flat_map(Problems::iter) {
                    output.stderr.say(error_line(problem));
                }
                return ExitCode::from(USAGE);
            }
        };
    match operate(logging, options, config, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.stderr.say(error_line(&format!("{error:#}")));
            ExitCode::from(FAILURE)
        }
    }
}

fn operate(
    logging: Logging,
    options: &Options,
    config: Result<Config, Problems>,
    output: &Output,
) -> anyhow::Result<()> {
    let telemetry = match &config {
        Ok(config) => config.operations.telemetry.clone(),
        // Telemetry options do not depend on the machine.
        Err(_) => OperationsConfig::read(&options.operations, &OsEntropy, &mut Collector::default()).telemetry,
    };
    let mut operations = Operations::start(telemetry.as_ref())?;
    let filter = logging.start(operations.tracer(), &output.stderr)?;
    let result = relay::run(options, config, &mut operations, filter, output);
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
    // There is no other place to report it.
    let _ = io::stderr().lock().write_all(error_line(error).as_bytes());
}

fn error_line(error: &str) -> String {
    format!("error: {error}\n")
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
