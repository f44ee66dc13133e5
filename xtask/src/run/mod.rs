//! `cargo xtask run`: a relay on this machine, proven to work.

mod ice;
mod round_trip;
pub(crate) mod signals;

use std::{
    env,
    ffi::OsString,
    io::{BufRead as _, BufReader, Read, Write as _, stdout},
    net::UdpSocket,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use ice::IceServer;

use crate::{
    command::{self, cargo},
    setup::{self, Use},
    workspace,
};

/// Build the relay, start it on this machine, prove it by one round trip through it, and leave it running until Ctrl-C.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Options for the relay, such as `--listen-port 3479`; see `cargo xtask run -- --help`. It relays in user space unless
    /// `--ebpf-offloading` or EBPF_OFFLOADING says otherwise.
    #[arg(last = true, value_name = "RELAY OPTIONS")]
    relay: Vec<OsString>,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    setup::ensure(&[Use::Run])?;
    command::run(cargo().args(["build", "--release", "--bin", "firezone-relay"]))?;

    let mut relay = Command::new(workspace::target().join("release/firezone-relay"));
    // A token in the environment would make it wait for a portal; what is wanted here is a relay that stands alone.
    relay.args(&args.relay).env_remove("FIREZONE_TOKEN");
    serve_someone(&mut relay, args.relay.is_empty());
    leave_interfaces_alone(&mut relay);
    eprintln!("$ {}", command::display(&relay));
    // In a process group of its own, so that it hears of Ctrl-C once: from us.
    relay.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).env("PRINT_CREDENTIALS", "always");
    let mut child = relay.spawn().context("cannot start the relay")?;
    signals::forward(child.id())?;

    let printed = child.stdout.take().context("the relay's output is not piped")?;
    if let Some(server) = pass_through(printed).recv().ok().filter(|_| is_running(&mut child)) {
        // What it prints beside the JSON belongs above the proof.
        thread::sleep(Duration::from_millis(200));
        eprintln!("\nOne round trip through it, with the credentials above:");
        if let Err(error) = round_trip::prove(&server) {
            signals::interrupt(child.id());
            let _ = child.wait();
            return Err(error.context("the relay runs but does not relay"));
        }
        eprintln!("\nThe relay works and keeps running; Ctrl-C ends it.");
    }
    let status = child.wait().context("lost the relay")?;
    if !status.success() {
        bail!("the relay ended with {status}");
    }
    Ok(())
}

/// Lets the relay serve on loopback where it would serve nobody: on a machine without a route, when neither the environment nor
/// an option says otherwise.
pub(crate) fn serve_someone(relay: &mut Command, without_options: bool) {
    if without_options && !names_an_address() && !has_route() {
        eprintln!("This machine has no route to anywhere, so the relay serves on loopback only.");
        relay.env("PUBLIC_IP4_ADDR", "127.0.0.1");
    }
}

/// Keeps the relay from loading an XDP program, as it would as root, unless the environment or an option says otherwise: to try a relay is
/// no reason to change this machine's interfaces.
pub(crate) fn leave_interfaces_alone(relay: &mut Command) {
    const NAME: &str = "EBPF_OFFLOADING";
    if !is_set(NAME) {
        relay.env(NAME, "off");
    }
}

fn names_an_address() -> bool {
    ["PUBLIC_IP4_ADDR", "PUBLIC_IP6_ADDR"].into_iter().any(is_set)
}

/// Whether the environment has a value for it.
fn is_set(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// Whether packets could leave this machine. Sends none: connecting a UDP socket only asks the routing table.
fn has_route() -> bool {
    let reaches = |local: &str, remote: &str| UdpSocket::bind(local).and_then(|socket| socket.connect(remote)).is_ok();
    reaches("0.0.0.0:0", "192.0.2.1:9") || reaches("[::]:0", "[2001:db8::1]:9")
}

fn is_running(child: &mut Child) -> bool {
    matches!(child.try_wait(), Ok(None))
}

/// Passes on what the relay prints, and sends the ICE server in it once it is complete.
pub(crate) fn pass_through(printed: impl Read + Send + 'static) -> mpsc::Receiver<IceServer> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut sender = Some(sender);
        let mut finder = ice::Finder::default();
        for line in BufReader::new(printed).lines().map_while(Result::ok) {
            println!("{line}");
            let _ = stdout().flush();
            if sender.is_some()
                && let Some(server) = finder.line(&line)
                && let Some(sender) = sender.take()
            {
                let _ = sender.send(server);
            }
        }
    });
    receiver
}
