//! `cargo xtask webrtc-demo`: a page with two peers that talk through a relay on this machine.

mod server;

use std::{
    env,
    ffi::OsString,
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use server::Site;

use crate::{
    command::{self, cargo},
    run::{self, signals},
    setup::{self, Use},
    workspace,
};

/// Build the relay, start it on this machine, and serve a page with two peers that talk through it alone, until Ctrl-C.
///
/// The page shows the pair of candidates in use, packets, loss, round trip and the relay's counters; where the call does not work
/// it says which step failed, and why. Any browser on this machine can open it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The port to serve the page on, on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 4180)]
    port: u16,
    /// Options for the relay, such as `--indications off`; see `cargo xtask run -- --help`.
    #[arg(last = true, value_name = "RELAY OPTIONS")]
    relay: Vec<OsString>,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    setup::ensure(&[Use::Run])?;
    command::run(cargo().args(["build", "--bin", "firezone-relay"]))?;

    let listener = TcpListener::bind(("127.0.0.1", args.port))
        .with_context(|| format!("cannot serve the page on port {}; choose another with --port", args.port))?;
    let page = listener.local_addr()?;
    let health = free_address()?;
    let mut relay = Command::new(workspace::target().join("debug/firezone-relay"));
    // A token in the environment would make it wait for a portal; what is wanted here is a relay that stands alone.
    relay.args(&args.relay).env_remove("FIREZONE_TOKEN").env("HEALTH_CHECK_ADDR", health.to_string());
    run::serve_someone(&mut relay, args.relay.is_empty());
    run::leave_interfaces_alone(&mut relay);
    eprintln!("$ {}", command::display(&relay));
    // In a process group of its own, so that it hears of Ctrl-C once: from us.
    relay.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).env("PRINT_CREDENTIALS", "always");
    let mut child = relay.spawn().context("cannot start the relay")?;
    signals::forward(child.id())?;

    let printed = child.stdout.take().context("the relay's output is not piped")?;
    if let Ok(found) = run::pass_through(printed).recv() {
        let urls: Vec<String> = found.addresses.iter().map(|address| format!("turn:{address}?transport=udp")).collect();
        let ice_server = json!({ "urls": urls, "username": found.username, "credential": found.credential });
        server::start(listener, Site { ice_server: ice_server.to_string(), health });
        println!("\nOpen http://{page}/ in a browser on this machine. Ctrl-C ends the relay and the page.");
    }
    let status = child.wait().context("lost the relay")?;
    if !status.success() {
        bail!("the relay ended with {status}");
    }
    Ok(())
}

/// An address on loopback where nobody listens.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot find a free port")?;
    Ok(listener.local_addr()?)
}

/// Where this program is, also when a build has put a new one in its place meanwhile, as that of the workspace's tests does.
fn this_program() -> Result<PathBuf> {
    let path = env::current_exe().context("cannot find out where this program is")?;
    // So Linux calls a file that is replaced.
    Ok(path.to_str().and_then(|path| path.strip_suffix(" (deleted)")).map(PathBuf::from).unwrap_or(path))
}

/// Drives the page in headless Chromium.
///
/// # Errors
///
/// When the page does not say what it should.
pub(crate) fn test() -> Result<()> {
    let has_driver = setup::node_folder().join("node_modules/playwright-core").is_dir();
    if !has_driver || ["chromium", "node"].iter().any(|program| command::find(program).is_none()) {
        // In CI the set-up has failed already.
        eprintln!("skipped: Chromium, Node.js or playwright-core is not installed (`cargo xtask setup`)");
        return Ok(());
    }
    command::run(cargo().args(["build", "--bin", "firezone-relay"]))?;
    // Pictures of the page, for people.
    let pictures = workspace::target().join("webrtc-demo");
    fs::create_dir_all(&pictures).with_context(|| format!("cannot make {}", pictures.display()))?;
    let mut node = Command::new("node");
    node.env("XTASK", this_program()?).env("PICTURES", &pictures).current_dir(setup::node_folder());
    command::run(node.args(["--test", "demo.test.mjs"]))
}
