//! Checks what is in `deploy/` with the tools that know its formats.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    command::{self, run},
    setup, workspace,
};

/// The Kubernetes versions that the manifests are for: the oldest, and the newest that the validator knows.
const KUBERNETES: [&str; 2] = ["1.30", "1.37"];

/// The most that `systemd-analyze security` may find, in tenths: without XDP, and with its drop-in. The scale ends at 100.
const EXPOSURE: [&str; 2] = ["15", "22"];

/// # Errors
///
/// Says which tool failed; what it found is on the terminal.
pub(crate) fn check() -> Result<()> {
    let deploy = workspace::root().join("deploy");
    run(Command::new(tool("hadolint")).arg(deploy.join("Dockerfile")))?;
    systemd(&deploy.join("systemd"))?;
    kubernetes(&deploy.join("kubernetes"))?;
    run(Command::new(setup::python()).arg(deploy.join("check.py")))
}

/// A program among the tests' Python packages.
fn tool(name: &str) -> PathBuf {
    setup::python().with_file_name(name)
}

/// A fresh folder under the target folder.
fn scratch(name: &str) -> Result<PathBuf> {
    let folder = workspace::target().join("deploy-check").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

fn systemd(folder: &Path) -> Result<()> {
    const UNIT: &str = "firezone-relay.service";
    const START: &str = "ExecStart=/usr/local/bin/firezone-relay\n";
    let unit = read(&folder.join(UNIT))?;
    if !unit.contains(START) {
        bail!("{} has no line {START:?}", folder.join(UNIT).display());
    }
    // The relay need not be installed where this runs.
    let unit = unit.replace("=/usr/local/bin/firezone-relay", "=/bin/true");
    let drop_in = read(&folder.join("firezone-relay.service.d/xdp.conf"))?;
    for (name, drop_in, exposure) in [("plain", None, EXPOSURE[0]), ("xdp", Some(drop_in), EXPOSURE[1])] {
        let folder = scratch(name)?;
        let file = folder.join(UNIT);
        write(&file, &unit)?;
        if let Some(drop_in) = drop_in {
            let folder = folder.join("firezone-relay.service.d");
            fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
            write(&folder.join("xdp.conf"), &drop_in)?;
        }
        let mut path = folder.into_os_string();
        // And the system's own.
        path.push(":");
        let analyze = || {
            let mut command = Command::new("systemd-analyze");
            command.env("SYSTEMD_UNIT_PATH", &path);
            command
        };
        silently(analyze().args(["verify", "--man=no"]).arg(&file))?;
        let threshold = format!("--threshold={exposure}");
        run(analyze().args(["security", "--offline=true", "--no-pager", &threshold]).arg(&file).stdout(Stdio::null()))?;
    }
    Ok(())
}

/// Runs a command that must have nothing to say: `systemd-analyze verify` succeeds in spite of keys that it does not know.
fn silently(command: &mut Command) -> Result<()> {
    let text = command::display(command);
    eprintln!("$ {text}");
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{text}`"))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    if !output.status.success() || !said.trim().is_empty() {
        bail!("`{text}` found ({}):\n{said}", output.status);
    }
    Ok(())
}

fn kubernetes(folder: &Path) -> Result<()> {
    let overlays = ["base", "xdp"];
    let mut manifests = Vec::new();
    if command::find("kubectl").is_some() {
        let target = scratch("kubernetes")?;
        for overlay in overlays {
            let mut build = Command::new("kubectl");
            build.arg("kustomize").arg(folder.join(overlay));
            eprintln!("$ {}", command::display(&build));
            let output =
                build.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cannot start kubectl")?;
            if !output.status.success() {
                bail!("`{}` failed ({})", command::display(&build), output.status);
            }
            let file = target.join(format!("{overlay}.yaml"));
            write(&file, &String::from_utf8_lossy(&output.stdout))?;
            manifests.push(file);
        }
    } else {
        eprintln!(
            "skipped: building the manifests of {overlays:?}, since there is no kubectl here; checking the base as it is"
        );
        for name in ["namespace", "service-account", "secret", "daemon-set"] {
            manifests.push(folder.join("base").join(format!("{name}.yaml")));
        }
    }
    for version in KUBERNETES {
        let mut validate = Command::new(tool("kubernetes-validate"));
        run(validate.args(["--strict", "--quiet", "--kubernetes-version", version]).args(&manifests))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_says_something_fails_whatever_its_status() {
        assert!(silently(&mut Command::new("true")).is_ok());
        assert!(silently(&mut Command::new("false")).is_err());
        for script in ["echo unknown key", "echo unknown key >&2"] {
            let error = silently(Command::new("sh").args(["-c", script])).unwrap_err().to_string();
            assert!(error.contains("unknown key"), "{error}");
        }
    }
}
