//! Builds the kernel program (`kernel/`), which the loader embeds, if there is a toolchain for BPF.
//!
//! Without a toolchain, the build fails with `RELAY_EBPF=require`, and with `auto` (the default) it has no kernel program and prints
//! a warning. With `off`, it never has one. Everything else compiles the same.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// The target of little-endian machines.
const TARGET: &str = "bpfel-unknown-none";
/// The kernel program's file name.
const PROGRAM: &str = "relay-xdp";

fn main() -> ExitCode {
    for path in ["build.rs", "src", "kernel/src", "kernel/Cargo.toml", "kernel/Cargo.lock"] {
        println!("cargo:rerun-if-changed={path}");
    }
    println!("cargo:rerun-if-env-changed=RELAY_EBPF");
    // Without the feature `loader`, nothing embeds the program. The kernel program itself depends on this crate without that feature.
    if env::var_os("CARGO_FEATURE_LOADER").is_none() {
        return ExitCode::SUCCESS;
    }
    let mode = env::var("RELAY_EBPF").unwrap_or_else(|_| "auto".to_owned());
    let built = match mode.as_str() {
        "off" => Err("RELAY_EBPF=off was set when it was built".to_owned()),
        "auto" | "require" => build(),
        other => {
            println!("cargo:error=RELAY_EBPF={other} is not one of auto, require, off");
            return ExitCode::FAILURE;
        }
    };
    if let Err(reason) = &built {
        // These directories change when a toolchain is installed.
        for directory in cargo_bin().chain([PathBuf::from("/usr/lib/rustlib")]).filter(|directory| directory.is_dir()) {
            println!("cargo:rerun-if-changed={}", directory.display());
        }
        match mode.as_str() {
            "require" => {
                println!("cargo:error=RELAY_EBPF=require, but the kernel program cannot be built: {reason}");
                return ExitCode::FAILURE;
            }
            "auto" => println!(
                "cargo:warning=building without the kernel program, so this build cannot offload to XDP: {reason}; \
                 `cargo xtask setup` installs what is missing, RELAY_EBPF=require makes this an error, RELAY_EBPF=off hides it"
            ),
            _ => {}
        }
    }
    match embed(built) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo:error={error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes `program.rs`: the expression that the loader includes.
fn embed(built: Result<PathBuf, String>) -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let expression = match built {
        Ok(object) => {
            let copy = out.join(PROGRAM);
            fs::copy(&object, &copy).map_err(|error| format!("cannot copy {}: {error}", object.display()))?;
            format!("Ok(aya::include_bytes_aligned!({:?}))", copy.display().to_string())
        }
        Err(reason) => format!("Err({reason:?})"),
    };
    fs::write(out.join("program.rs"), expression).map_err(|error| format!("cannot write program.rs: {error}"))
}

/// Builds the kernel program. Returns its path, or what is missing.
fn build() -> Result<PathBuf, String> {
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return Err("XDP is Linux's".to_owned());
    }
    if env::var("CARGO_CFG_TARGET_ENDIAN").as_deref() != Ok("little") {
        return Err("only little-endian machines are supported".to_owned());
    }
    let linker = find_linker()?;
    println!("cargo:rerun-if-changed={}", linker.display());
    let mut cargo = find_cargo()?;

    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set")?);
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    // Outside the profiles' directories (target/<profile>/build/<package>/out), so that all profiles share one build.
    let target_dir = out.ancestors().nth(4).ok_or("OUT_DIR is not in a target directory")?.join("bpf");
    // Version 3 of the instruction set needs Linux 5.1.
    let flags = [format!("-Clinker={}", linker.display()), "-Ctarget-cpu=v3".to_owned()];
    cargo
        .current_dir(manifest.join("kernel"))
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .args(["build", "--release", "--locked", "--target", TARGET, "--target-dir"])
        .arg(&target_dir);
    let output = cargo.output().map_err(|error| format!("cannot run {cargo:?}: {error}"))?;
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        return Err(format!("{cargo:?} failed: {}", last_error(&String::from_utf8_lossy(&output.stderr))));
    }
    Ok(target_dir.join(TARGET).join("release").join(PROGRAM))
}

/// The first error line of a failed build.
fn last_error(log: &str) -> &str {
    log.lines().find(|line| line.starts_with("error")).unwrap_or("see the build script's output")
}

/// Finds bpf-linker on PATH or in the directory of `cargo install`.
fn find_linker() -> Result<PathBuf, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(cargo_bin())
        .map(|directory| directory.join("bpf-linker"))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| "bpf-linker is neither on PATH nor in cargo's bin directory".to_owned())
}

/// The directories in which `cargo install` may put programs.
fn cargo_bin() -> impl Iterator<Item = PathBuf> {
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    cargo_home.into_iter().chain(home).map(|directory| directory.join("bin"))
}

/// A cargo whose compiler can build `core` for BPF: the distribution's, with a prebuilt `core`, or rustup's nightly, with its
/// source.
fn find_cargo() -> Result<Command, String> {
    let (distribution, compiler) = ("/usr/bin/cargo", "/usr/bin/rustc");
    if Path::new(distribution).is_file()
        && sysroot(clean(compiler)).is_some_and(|root| root.join("lib/rustlib").join(TARGET).is_dir())
    {
        let mut cargo = clean(distribution);
        // RUSTC: rustup's rustc may come first on PATH. RUSTC_BOOTSTRAP: inline assembly for BPF is unstable.
        cargo.env("RUSTC", compiler).env("RUSTC_BOOTSTRAP", "1");
        return Ok(cargo);
    }
    let nightly = |tool| {
        let mut command = clean("rustup");
        command.args(["run", "nightly", tool]);
        command
    };
    if sysroot(nightly("rustc")).is_some_and(|root| root.join("lib/rustlib/src/rust/library/core").is_dir()) {
        let mut cargo = nightly("cargo");
        cargo.args(["-Z", "build-std=core"]);
        return Ok(cargo);
    }
    Err("no Rust compiler for BPF: neither the distribution's rustc with its BPF library (Debian: rustc-web, cargo-web, \
         libstd-rust-web-dev-bpf) nor rustup's nightly with rust-src"
        .to_owned())
}

fn sysroot(mut rustc: Command) -> Option<PathBuf> {
    let output = rustc.args(["--print", "sysroot"]).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(path.trim()))
}

/// A command without the environment variables that the outer cargo sets for build scripts: this build has another target and
/// another compiler.
fn clean(program: &str) -> Command {
    const KEPT: [&str; 6] =
        ["CARGO_HOME", "CARGO_MAKEFLAGS", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_"];
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        let outer = name.starts_with("CARGO") || (name.starts_with("RUST") && name != "RUSTUP_HOME");
        if (outer && !KEPT.iter().any(|kept| name.starts_with(kept))) || name == "LD_LIBRARY_PATH" {
            command.env_remove(name.as_ref());
        }
    }
    command
}
