//! `cargo xtask setup`: installs what this machine lacks.

mod apt;
mod install;
mod needs;
mod node;
mod python;

use std::env;

use anyhow::{Result, bail};
use needs::{NEEDS, Need};
pub(crate) use needs::{Use, has_libfaketime};
pub(crate) use node::folder as node_folder;
pub(crate) use python::python;

/// Install whatever this machine lacks to build, test and measure the relay. Installs nothing that is there already.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only say what is missing; exit with an error if anything is.
    #[arg(long)]
    check: bool,
    /// Only what this is needed for; may be given several times. Everything by default.
    #[arg(long = "for", value_name = "USE")]
    uses: Vec<Use>,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    let needed = |need: &&Need| args.uses.is_empty() || need.is_for(&args.uses);
    let (present, missing): (Vec<&Need>, Vec<&Need>) = NEEDS.iter().filter(needed).partition(|need| (need.present)());
    if args.check {
        for need in &present {
            eprintln!("present  {}", need.name);
        }
        for need in &missing {
            eprintln!("missing  {}: {}", need.name, need.why);
        }
        if !missing.is_empty() {
            bail!(
                "{} of {} things are missing; `cargo xtask setup` installs them",
                missing.len(),
                present.len() + missing.len()
            );
        }
        return Ok(());
    }
    install::install(&missing)?;
    eprintln!("This machine has all that is needed.");
    Ok(())
}

/// Installs what `uses` need and this machine lacks; silent when it lacks nothing.
///
/// # Errors
///
/// When something cannot be installed: names all of it, and what to do.
pub(crate) fn ensure(uses: &[Use]) -> Result<()> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| need.is_for(uses) && !(need.present)()).collect();
    install::install(&missing)
}

/// Installs what `uses` need where that can be done, and returns what is left out, in words.
///
/// # Errors
///
/// In CI, when something cannot be installed: nothing may be left out there.
pub(crate) fn ensure_where_possible(uses: &[Use]) -> Result<Option<String>> {
    match ensure(uses) {
        Err(error) if !is_ci() => Ok(Some(format!("{error:#}"))),
        result => result.map(|()| None),
    }
}

/// Whether this is a CI run, by the variable that CI systems set.
fn is_ci() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}
