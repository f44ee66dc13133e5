//! `cargo xtask bench e2e`: the release binary against coturn and a bare forwarder.

use std::ffi::OsString;

use anyhow::Result;

use crate::{
    command::{self, cargo},
    load,
    setup::{self, Use},
    workspace,
};

/// Compare the relay with Debian's coturn and a bare forwarder: CPU per packet, loss, latency, the highest rate without loss,
/// allocations, memory, floods, the path through the kernel. Figures are medians over slices in turns, and mean little while this machine
/// does anything else.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Options for the load program, such as `--rounds 9 --only flat`: `cargo xtask bench e2e --help`. Results go to `bench/e2e.json` in
    /// the target folder unless `--json` says otherwise.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    load: Vec<OsString>,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    setup::ensure(&[Use::Run])?;
    command::run(cargo().args(["build", "--release", "--bin", "firezone-relay"]))?;
    let folder = workspace::target().join("bench");
    let mut load = load::program()?;
    load.arg("e2e").arg("--relay").arg(workspace::target().join("release/firezone-relay")).arg("--logs").arg(&folder);
    let is_json =
        |option: &OsString| option.to_str().is_some_and(|text| text == "--json" || text.starts_with("--json="));
    if !args.load.iter().any(is_json) {
        load.arg("--json").arg(folder.join("e2e.json"));
    }
    match command::find("turnserver") {
        Some(coturn) => drop(load.arg("--coturn").arg(coturn)),
        None => eprintln!("not compared with coturn, which this machine does not have (`apt-get install coturn`)"),
    }
    command::run(load.args(&args.load))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn options_of_the_load_program_need_no_mark() {
        for line in
            [&["bench", "--only", "kernel", "--json", "a"][..], &["bench", "--", "--only", "kernel", "--json", "a"]]
        {
            assert_eq!(Cli::parse_from(line).args.load, ["--only", "kernel", "--json", "a"], "{line:?}");
        }
    }
}
