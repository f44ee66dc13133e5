//! Gets what is missing.

use std::process::Command;

use anyhow::{Result, bail};

use super::{
    apt,
    needs::{Need, Way},
    node, python,
};
use crate::command;

/// Installs `missing`, in order; goes on after a failure, so that one run says everything that is left to do.
pub(crate) fn install(missing: &[&Need]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("This machine lacks:");
    for need in missing {
        eprintln!("  {} - {}", need.name, need.why);
    }
    let mut updated = false;
    let mut failed = Vec::new();
    for need in missing {
        // What was installed for one need may have brought another.
        if (need.present)() {
            continue;
        }
        eprintln!("Installing {} ...", need.name);
        if !need.ways.iter().any(|way| follow(need, way, &mut updated)) {
            failed.push(*need);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    let mut text = String::from("could not install everything. Still missing:");
    for need in failed {
        text += &format!("\n  {} ({}): {}", need.name, need.why, by_hand(need));
    }
    text += "\nInstall it by hand, then repeat the command.";
    bail!(text)
}

/// Whether `way` led to `need` being there.
fn follow(need: &Need, way: &Way, updated: &mut bool) -> bool {
    let result = match way {
        Way::Rustup(_) if command::find("rustup").is_none() => return false,
        Way::Rustup(arguments) => command::run(Command::new("rustup").args(*arguments)),
        Way::Apt(_) if !apt::is_here() => return false,
        Way::Apt(packages) => update_once(updated).and_then(|()| apt::install(packages)),
        Way::Cargo { debian, .. } if !debian.is_empty() && !apt::is_here() => return false,
        Way::Cargo { package, version, arguments, debian, environment } => version().and_then(|version| {
            if !debian.is_empty() {
                update_once(updated)?;
                apt::install(debian)?;
            }
            eprintln!("(builds from source: some minutes)");
            let install = |lock: &[&str]| {
                let mut cargo = command::cargo();
                cargo.args(["install", package, "--version", &version]).args(*arguments).args(lock);
                command::run(cargo.envs(environment.iter().copied()))
            };
            // The author's own choice of dependencies first; a registry mirror may lack one of them.
            install(&["--locked"]).or_else(|_| install(&[]))
        }),
        Way::PythonPackages => python::install_packages(),
        Way::NodePackages => node::install_packages(),
    };
    match result {
        Ok(()) if (need.present)() => true,
        Ok(()) => {
            eprintln!("That succeeded, but {} is still not to be found.", need.name);
            false
        }
        Err(error) => {
            eprintln!("{error:#}");
            false
        }
    }
}

fn update_once(updated: &mut bool) -> Result<()> {
    if !*updated {
        apt::update()?;
        *updated = true;
    }
    Ok(())
}

fn by_hand(need: &Need) -> String {
    let ways = need.ways.iter().map(|way| match way {
        Way::Rustup(arguments) => format!("`rustup {}`", arguments.join(" ")),
        Way::Apt(packages) => format!("Debian's packages {} (other systems name them alike)", packages.join(" ")),
        Way::Cargo { package, arguments, .. } => format!("`cargo install {package} {}`", arguments.join(" ")),
        Way::PythonPackages => "`python3 -m venv` and `pip install` must work".to_owned(),
        Way::NodePackages => format!("`npm ci` must work in {}", node::folder().display()),
    });
    ways.collect::<Vec<_>>().join(", or ")
}
