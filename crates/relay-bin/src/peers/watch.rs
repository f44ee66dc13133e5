//! Reads the file of rules again when it has changed.

use std::sync::Arc;

use relay_server::PeerPolicy;

use super::config::PeerConfig;
use crate::{
    faults::{Faults, Part},
    file_watch::{Changes, FileWatch},
};

/// Watches the file in `config`, if there is one, and calls `apply` with the new policy after a change.
///
/// # Errors
///
/// When the system has no thread left.
pub(crate) fn watch(
    config: &PeerConfig,
    faults: &Faults,
    apply: impl Fn(Arc<PeerPolicy>) + Send + 'static,
) -> anyhow::Result<FileWatch> {
    let (config, faults) = (config.clone(), faults.clone());
    let mut policy = config.policy();
    let mut changes = Changes::of(config.sources.file.clone());
    FileWatch::start("peers", config.sources.file.is_some(), move |is_hurried| {
        if !changes.look(is_hurried) {
            return;
        }
        let problem = reload(&config, &mut policy, &apply).err();
        if changes.note(problem.clone())
            && let Some(problem) = problem
        {
            faults.note(Part::File);
            tracing::error!("{problem}; the rules that were read before stay in force");
        }
    })
}

fn reload(config: &PeerConfig, policy: &mut Arc<PeerPolicy>, apply: &impl Fn(Arc<PeerPolicy>)) -> Result<(), String> {
    let rules = config.sources.read()?;
    let new = config.policy_of(&rules);
    if new != *policy {
        tracing::info!(
            rules = rules.len(),
            "the rules about peers were read again; channels and permissions of peers that are denied now end"
        );
        policy.clone_from(&new);
        apply(new);
    }
    Ok(())
}
