//! `cargo xtask abuse`: crowds and noisy neighbours against a relay on this machine.

use std::{
    ffi::OsString,
    net::{SocketAddr, UdpSocket},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    command::{self, cargo},
    load,
    run::signals,
    setup::{self, Use},
    workspace,
};

const SECRET: &str = "the-abuse-tools-own-secret-for-this-machine-only";

/// How often to ask whether the relay is up, 100 ms apart.
const ATTEMPTS: u32 = 100;

/// Start a relay on loopback, have crowds, noisy neighbours or floods ask it, and tell who was served: `keepalive`, `neighbour`,
/// `indications`, `crowd`, or what a stranger is answered, `amplification`; with the options that `cargo xtask abuse crowd --help` lists.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Another build of the relay to try [default: build this one]
    #[arg(long, value_name = "FILE")]
    relay: Option<PathBuf>,
    /// An option for the relay, such as `--relay-option=--reply-limit=1000`; as often as wanted.
    #[arg(long, value_name = "OPTION")]
    relay_option: Vec<OsString>,
    /// What to do.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "SCENARIO")]
    scenario: Vec<OsString>,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    setup::ensure(&[Use::Run])?;
    let mut load = load::program()?;
    if args.scenario.iter().any(|argument| argument == "--help" || argument == "-h") {
        return command::run(load.args(["abuse", "--secret", SECRET]).args(&args.scenario));
    }
    let program = match &args.relay {
        Some(program) => program.clone(),
        None => {
            command::run(cargo().args(["build", "--release", "--bin", "firezone-relay"]))?;
            workspace::target().join("release/firezone-relay")
        }
    };
    let address = free_address()?;
    let mut relay = Command::new(program);
    relay
        .args(["--public-ip4-addr", "127.0.0.1", "--auth-secret", SECRET, "--listen-port"])
        .arg(address.port().to_string());
    relay.args(["--health-check-addr", "off", "--control-endpoint", "off"]).args(&args.relay_option);
    relay.env_remove("FIREZONE_TOKEN").process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
    eprintln!("$ {}", command::display(&relay));
    let mut child = relay.spawn().context("cannot start the relay")?;
    let result = wait_until_up(&mut child, address).and_then(|()| {
        let server = address.to_string();
        command::run(load.args(["abuse", "--server", &server, "--secret", SECRET]).args(&args.scenario))
    });
    signals::interrupt(child.id());
    let _ = child.wait();
    result
}

fn free_address() -> Result<SocketAddr> {
    let socket = UdpSocket::bind("127.0.0.1:0").context("cannot open a socket on loopback")?;
    Ok(socket.local_addr()?)
}

fn wait_until_up(relay: &mut Child, address: SocketAddr) -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    for _ in 0..ATTEMPTS {
        if let Some(status) = relay.try_wait()? {
            bail!("the relay ended with {status}");
        }
        // A Binding request. Nobody listens yet: an ICMP error comes back at once.
        let asked =
            socket.send(b"\x00\x01\x00\x00\x21\x12\xA4\x42is-it-up----").and_then(|_| socket.recv(&mut [0; 64]));
        if asked.is_ok() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(100));
    }
    bail!("the relay does not answer at {address}")
}
