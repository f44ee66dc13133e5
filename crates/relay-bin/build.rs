//! Passes the Git revision of the source to the compiler.

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo::rerun-if-env-changed=RELAY_REVISION");
    let given = env::var("RELAY_REVISION").ok().filter(|revision| !revision.trim().is_empty());
    let revision = given.or_else(revision).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=RELAY_REVISION={}", revision.trim());
}

/// The revision of this checkout. `None` if the source is not a checkout of its own: an unpacked archive may lie in another
/// repository.
fn revision() -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?.canonicalize().ok()?;
    let top = git(&root, &["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != root {
        return None;
    }
    // Git appends to this file with every commit and checkout.
    let log = git(&root, &["rev-parse", "--git-path", "logs/HEAD"])?;
    if root.join(&log).exists() {
        println!("cargo::rerun-if-changed={}", root.join(log).display());
    }
    git(&root, &["rev-parse", "--short=12", "HEAD"])
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
