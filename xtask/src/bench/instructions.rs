//! `cargo xtask bench instructions`: how many instructions the state machine takes, which repeats exactly where time does not.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::{
    command::{self, cargo},
    setup::{self, Use},
    workspace,
};

/// How much more than what is committed is accepted, in percent: compilers differ a little.
const TOLERANCE: f64 = 5.0;

/// How often each scenario runs in either of two runs; what the second takes more is what it costs, set-up excluded.
const TIMES: [u64; 2] = [1_000, 2_000];

/// The same for comparisons with secrets, whose set-up is small.
const COMPARISON_TIMES: [u64; 2] = [100, 200];

/// Count the instructions of each scenario of `crates/core-bench`, and fail if one takes more than is committed, or if a comparison with a secret
/// takes more or fewer when another byte is wrong.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write the counts instead, to be committed: after a change that is worth its price, or that made something cheaper.
    #[arg(long)]
    update: bool,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    setup::ensure(&[Use::Instructions])?;
    let counts = count_all()?;
    if args.update {
        let text = serde_json::to_string_pretty(&counts)?;
        fs::write(baseline(), text + "\n").with_context(|| format!("cannot write {}", baseline().display()))?;
        eprintln!("written to {}", baseline().display());
        return Ok(());
    }
    compare(&counts)?;
    compare_secrets()
}

/// Counts, and fails if anything takes more than is committed, or if a secret can be guessed byte by byte.
///
/// # Errors
///
/// When it does, or something cannot be run.
pub(crate) fn check() -> Result<()> {
    compare(&count_all()?)?;
    compare_secrets()
}

fn baseline() -> PathBuf {
    workspace::root().join("crates/core-bench/instructions.json")
}

fn count_all() -> Result<BTreeMap<String, u64>> {
    command::run(cargo().args(["build", "--release", "--package", "core-bench"]))?;
    let program = program();
    let names = command::output(&mut Command::new(&program)).context("core-bench does not tell its scenarios")?;
    let mut counts = BTreeMap::new();
    for name in names.lines() {
        let [few, many] = TIMES.map(|times| count(&program, &[name, &times.to_string()]));
        counts.insert(name.to_owned(), many?.saturating_sub(few?) / (TIMES[1] - TIMES[0]));
    }
    Ok(counts)
}

fn program() -> PathBuf {
    workspace::target().join("release/core-bench")
}

/// Fails if a comparison with a secret takes more instructions the later a guess goes wrong: then it could be guessed byte by byte.
fn compare_secrets() -> Result<()> {
    let program = program();
    let list =
        command::output(Command::new(&program).arg("--secrets")).context("core-bench does not tell its secrets")?;
    println!("{:<48} instructions when the first, the middle and the last byte is wrong", "comparison of");
    for line in list.lines() {
        let (name, len) = line.rsplit_once(' ').context("core-bench tells a secret without its length")?;
        let len: u64 = len.parse().context("a length is a number")?;
        let mut counts = Vec::new();
        for wrong in [0, len / 2, len - 1] {
            let run = |times: u64| count(&program, &["--secret", name, &wrong.to_string(), &times.to_string()]);
            let [few, many] = COMPARISON_TIMES.map(run);
            counts.push(many?.saturating_sub(few?));
        }
        println!("{name:<48} {counts:?} in {} comparisons", COMPARISON_TIMES[1] - COMPARISON_TIMES[0]);
        if counts.iter().any(|count| *count != counts[0]) {
            bail!(
                "a comparison with a {name} does not take the same time whichever byte is wrong: it can be guessed byte by byte"
            );
        }
    }
    Ok(())
}

/// The instructions of a whole run of `program` with these arguments.
fn count(program: &PathBuf, arguments: &[&str]) -> Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    let output = valgrind.args(arguments).output().context("cannot start valgrind")?;
    let told = String::from_utf8_lossy(&output.stderr);
    let collected = told.lines().find_map(|line| line.split_once("Collected : "));
    match collected.and_then(|(_, count)| count.trim().parse().ok()) {
        Some(count) if output.status.success() => Ok(count),
        _ => bail!("valgrind could not run `{}`:\n{told}", arguments.join(" ")),
    }
}

fn compare(counts: &BTreeMap<String, u64>) -> Result<()> {
    let path = baseline();
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let committed: BTreeMap<String, u64> =
        serde_json::from_str(&text).with_context(|| format!("{} is broken", path.display()))?;
    let mut dearer = Vec::new();
    println!("{:<48} {:>10} {:>10} {:>9}", "instructions of", "committed", "now", "change");
    for (name, now) in counts {
        let change = committed.get(name).map(|before| change(*before, *now));
        let shown = change.map_or_else(|| "new".to_owned(), |change| format!("{change:+.1} %"));
        println!("{name:<48} {:>10} {now:>10} {shown:>9}", committed.get(name).copied().unwrap_or_default());
        if change.is_none_or(|change| change > TOLERANCE) {
            dearer.push(name.as_str());
        }
    }
    if !dearer.is_empty() {
        bail!(
            "more than {TOLERANCE} % above what is committed: {}: make it cheaper again, or commit what it takes now with \
             `cargo xtask bench instructions --update` and say why",
            dearer.join(", ")
        );
    }
    Ok(())
}

/// In percent.
fn change(before: u64, now: u64) -> f64 {
    // Where there are few, one more is no change.
    if now.abs_diff(before) <= 2 {
        return 0.0;
    }
    (now as f64 / before.max(1) as f64 - 1.0) * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes() {
        assert!(change(100, 106) > TOLERANCE);
        assert!(change(100, 104) < TOLERANCE);
        assert!(change(100, 50) < TOLERANCE);
        assert!(change(0, 10) > TOLERANCE);
        assert!(change(5, 7) < TOLERANCE);
    }
}
