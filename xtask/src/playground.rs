//! `cargo xtask playground`: builds the browser playground and serves it.

use std::{env, fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{
    command::{self, run},
    setup::{self, Use},
    wasm, workspace,
};

/// Build the browser playground and serve it on this machine.
///
/// The build is in web-playground/dist: static files that any web host can serve, in any folder.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Open it in the browser.
    #[arg(long)]
    open: bool,
    /// The port to serve it on.
    #[arg(long, default_value_t = 4173)]
    port: u16,
    /// The address to serve it on; 0.0.0.0 shows it to the whole network.
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    host: String,
    /// Only build it.
    #[arg(long, conflicts_with_all = ["open", "port", "host"])]
    build_only: bool,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    build()?;
    if args.build_only {
        eprintln!("The playground is in {}.", folder().join("dist").display());
        return Ok(());
    }
    let mut npm = npm();
    npm.args(["run", "--silent", "preview", "--", "--strictPort", "--host", &args.host, "--port"]);
    npm.arg(args.port.to_string());
    if args.open {
        npm.arg("--open");
    }
    run(&mut npm)
}

/// Builds the WebAssembly module and the page around it.
///
/// # Errors
///
/// When this machine lacks something that cannot be installed, or a step fails.
pub(crate) fn build() -> Result<()> {
    setup::ensure(&[Use::Wasm])?;
    build_module()?;
    install_packages()?;
    run(npm().args(["run", "--silent", "check"]))?;
    run(npm().args(["run", "--silent", "build"]))
}

/// Builds the page and tests it in a real browser.
///
/// # Errors
///
/// When the build or a test fails.
pub(crate) fn test() -> Result<()> {
    build()?;
    test_module()?;
    run(npm().args(["run", "--silent", "test"]))
}

/// Runs the module's own tests in headless Chromium, which `webdriver.json` configures.
fn test_module() -> Result<()> {
    let mut cargo = wasm::Toolchain::require()?.cargo("test");
    let driver = command::find("chromedriver").context("chromedriver is not on PATH; run `cargo xtask setup`")?;
    cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", "wasm-bindgen-test-runner").env("CHROMEDRIVER", driver);
    run(cargo.args(["--package", "relay-playground", "--lib", "--tests"]))
}

fn build_module() -> Result<()> {
    // The profile is one of the workspace's own: small rather than fast.
    let mut cargo = wasm::Toolchain::require()?.cargo("build");
    // Panic messages name source files; their folders are nobody's business and no use to visitors.
    let cargo_home =
        env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    let prefixes = [(workspace::root().to_owned(), "relay"), (cargo_home.unwrap_or_default(), "cargo")];
    let flags = prefixes.map(|(folder, name)| format!("'--remap-path-prefix={}={name}'", folder.display())).join(", ");
    // Added to those in .cargo/config.toml.
    cargo.arg("--config").arg(format!("target.wasm32-unknown-unknown.rustflags=[{flags}]"));
    run(cargo.args(["--profile", "wasm", "--package", "relay-playground"]))?;
    let module = workspace::target().join("wasm/wasm32-unknown-unknown/wasm/relay_playground.wasm");
    let mut bindgen = Command::new("wasm-bindgen");
    bindgen.args(["--target", "web", "--remove-name-section", "--remove-producers-section", "--out-dir"]);
    run(bindgen.arg(folder().join("page/wasm")).arg(module))
}

/// Installs exactly the locked packages, unless that has been done.
fn install_packages() -> Result<()> {
    let lock = folder().join("package-lock.json");
    let locked = fs::read(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let note = folder().join("node_modules/.installed-lock");
    if fs::read(&note).is_ok_and(|installed| installed == locked) {
        return Ok(());
    }
    run(npm().args(["ci", "--no-audit", "--no-fund"]))?;
    fs::write(&note, locked).with_context(|| format!("cannot write {}", note.display()))
}

fn npm() -> Command {
    let mut npm = Command::new("npm");
    command::without_cargo_variables(&mut npm).current_dir(folder());
    npm
}

fn folder() -> PathBuf {
    workspace::root().join("web-playground")
}
