//! Building for `wasm32-unknown-unknown`: with rustup's target where there is one, otherwise with Debian's compiler, which
//! brings the sources of the standard library and builds it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use crate::{command, workspace};

const TARGET: &str = "wasm32-unknown-unknown";

/// A compiler for WebAssembly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The workspace's own toolchain has the target.
    Rustup,
    /// Debian's `rustc-web`, `cargo-web`, `rust-web-src` and this linker of `lld-*`.
    Debian {
        /// The newest `wasm-ld`.
        linker: PathBuf,
    },
}

impl Toolchain {
    /// The one that this machine has.
    pub(crate) fn find() -> Option<Self> {
        if rustup_has_target() {
            return Some(Self::Rustup);
        }
        let linker = newest_wasm_ld()?;
        let complete = ["/usr/bin/cargo", "/usr/bin/rustc", "/usr/lib/rustlib/src/rust/library/std/Cargo.toml"];
        complete.iter().all(|file| Path::new(file).exists()).then_some(Self::Debian { linker })
    }

    /// `cargo <subcommand> --target wasm32-unknown-unknown`, in a target folder of its own: two compilers in one would
    /// build everything again and again.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let mut command = match self {
            Self::Rustup => {
                let mut command = command::cargo();
                command.arg(subcommand);
                command
            }
            Self::Debian { linker } => {
                let mut command = Command::new("/usr/bin/cargo");
                command::without_cargo_variables(&mut command)
                    .current_dir(workspace::root())
                    .env_remove("LD_LIBRARY_PATH")
                    .env_remove("RUSTUP_TOOLCHAIN")
                    .env("RUSTC", "/usr/bin/rustc")
                    .env("RUSTDOC", "/usr/bin/rustdoc")
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
                    .args([subcommand, "-Zbuild-std=std,panic_abort"]);
                command
            }
        };
        command.args(["--target", TARGET, "--target-dir"]).arg(workspace::target().join("wasm"));
        command
    }

    /// [`Self::find`], or what to do about it.
    ///
    /// # Errors
    ///
    /// When this machine has no such compiler.
    pub(crate) fn require() -> Result<Self> {
        match Self::find() {
            Some(toolchain) => Ok(toolchain),
            None => bail!("no compiler for {TARGET} on this machine; run `cargo xtask setup`"),
        }
    }
}

fn rustup_has_target() -> bool {
    let mut rustc = Command::new("rustc");
    rustc.current_dir(workspace::root()).args(["--print", "target-libdir", "--target", TARGET]);
    command::output(&mut rustc).is_some_and(|libdir| Path::new(libdir.trim()).is_dir())
}

fn newest_wasm_ld() -> Option<PathBuf> {
    let versioned = (19..=30).rev().map(|version| format!("wasm-ld-{version}"));
    versioned.chain(["wasm-ld".to_owned()]).find_map(|name| command::find(&name))
}
