//! The table of what `cargo xtask test` runs: one row per step, the quick ones first.

use std::process::Command;

use anyhow::Result;

use super::{capabilities, conformance, deploy, features};
use crate::{
    abuse,
    bench::instructions,
    command::{self, cargo, run},
    imports, playground,
    setup::{self, Use},
    wasm, webrtc_demo, workspace,
};

/// One step.
pub(crate) struct Step {
    /// What `--only` calls it.
    pub(crate) name: &'static str,
    /// What it does, for people.
    pub(crate) what: &'static str,
    /// What it needs from the machine.
    pub(crate) uses: &'static [Use],
    /// Does it.
    pub(crate) run: fn() -> Result<()>,
}

/// The crates that know no sockets, threads or clock, and are therefore tested under WebAssembly too.
const NO_IO_CRATES: &[&str] = &["stun-msg", "turn-auth", "allocation", "relay-server", "packet-trace", "relay-replay"];

/// Every step, in order.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        what: "the layout of the source",
        uses: &[Use::Fmt],
        run: || run(cargo().args(["fmt", "--all", "--check"])),
    },
    Step { name: "scripts", what: "shell scripts", uses: &[Use::Scripts], run: scripts },
    Step {
        name: "conformance",
        what: "docs/conformance.md and docs/security-advisories.md name tests that exist",
        uses: &[],
        run: conformance::check,
    },
    Step {
        name: "deploy",
        what: "the Dockerfile, the systemd unit, the Kubernetes manifests, the dashboard",
        uses: &[Use::Deploy],
        run: deploy::check,
    },
    Step {
        name: "imports",
        what: "no files import one another in a circle, and rooms import downwards only",
        uses: &[],
        run: imports::check,
    },
    Step { name: "machete", what: "every dependency is used", uses: &[Use::Machete], run: machete },
    Step { name: "deny", what: "licences, sources and advisories of the dependencies", uses: &[Use::Deny], run: deny },
    Step {
        name: "clippy",
        what: "lints, in all targets of the workspace",
        uses: &[Use::Clippy],
        run: || run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])),
    },
    Step {
        name: "features",
        what: "each crate with features builds with every combination of them",
        uses: &[Use::Clippy],
        run: features::check,
    },
    Step {
        name: "test",
        what: "all tests of the workspace, also with outside programs",
        uses: &[Use::Test, Use::Clients],
        run: tests,
    },
    Step {
        name: "doc",
        what: "documentation builds without a warning, private items included",
        uses: &[Use::Clippy],
        run: || {
            run(cargo().env("RUSTDOCFLAGS", "-D warnings").args([
                "doc",
                "--workspace",
                "--no-deps",
                "--document-private-items",
            ]))
        },
    },
    Step {
        name: "instructions",
        what: "the state machine takes no more instructions than is committed",
        uses: &[Use::Instructions],
        run: instructions::check,
    },
    Step { name: "fuzz", what: "replays the corpora of the fuzz targets", uses: &[Use::Test], run: fuzz },
    Step {
        name: "abuse",
        what: "strangers, mutated packets, cycles, half-open connections, kill -9, a short soak: cargo xtask abuse",
        uses: &[Use::Run],
        run: || abuse::check(!capabilities::has("netns") || !capabilities::has("xdp")),
    },
    Step { name: "wasm", what: "the tests of the no-IO crates under WebAssembly", uses: &[Use::Wasm], run: wasm_tests },
    Step {
        name: "playground",
        what: "the browser playground, built and used in a real browser",
        uses: &[Use::Wasm, Use::Playground],
        run: playground::test,
    },
    Step {
        name: "webrtc-demo",
        what: "the page of `cargo xtask webrtc-demo`, used in a real browser",
        uses: &[Use::Run, Use::Clients],
        run: webrtc_demo::test,
    },
];

fn scripts() -> Result<()> {
    let listed = Command::new("git").current_dir(workspace::root()).args(["ls-files", "*.sh", ".ci/run"]).output()?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    run(Command::new("shellcheck").current_dir(workspace::root()).arg("--").args(listed.lines()))
}

fn machete() -> Result<()> {
    let root = workspace::root();
    run(cargo().arg("machete").args(["crates", "fuzz", "web-playground", "xtask"].map(|folder| root.join(folder))))
}

fn deny() -> Result<()> {
    run(cargo().args(["deny", "--workspace", "check", "licenses", "bans", "sources"]))?;
    let data_base = "https://github.com/RustSec/advisory-db";
    let mut reach = Command::new("timeout");
    reach.env("GIT_TERMINAL_PROMPT", "0").args(["15", "git", "ls-remote", "--quiet", data_base, "HEAD"]);
    if !command::succeeds(&mut reach) {
        eprintln!("skipped: advisories, since {data_base} cannot be reached from here");
        return Ok(());
    }
    run(cargo().args(["deny", "--workspace", "check", "advisories"]))
}

fn tests() -> Result<()> {
    let required = capabilities::present();
    eprintln!("This machine can: {required}. A test that needs one of these and skips itself fails.");
    run(cargo()
        .env("RELAY_TESTS_REQUIRE", required)
        .env("RELAY_TESTS_PYTHON", setup::python())
        .args(["test", "--workspace"]))
}

fn fuzz() -> Result<()> {
    // A workspace of its own, since cargo-fuzz wants it so; the target folder is shared, as its dependencies are ours.
    let manifest = workspace::root().join("fuzz/Cargo.toml");
    let target = workspace::target();
    run(cargo().args(["test", "--manifest-path"]).arg(manifest).arg("--target-dir").arg(target))
}

fn wasm_tests() -> Result<()> {
    let toolchain = wasm::Toolchain::require()?;
    let mut cargo = toolchain.cargo("test");
    cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", "wasm-bindgen-test-runner").args(["--lib", "--tests"]);
    for name in NO_IO_CRATES {
        cargo.args(["--package", name]);
    }
    run(&mut cargo)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique() {
        let names: BTreeSet<_> = STEPS.iter().map(|step| step.name).collect();
        assert_eq!(names.len(), STEPS.len());
    }

    #[test]
    fn the_no_io_crates_exist() {
        for name in NO_IO_CRATES {
            assert!(workspace::root().join("crates").join(name).join("Cargo.toml").is_file(), "{name}");
        }
    }
}
