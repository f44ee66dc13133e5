//! When the kernel's data path begins: before the relay serves, or after it has taken over from another process.

use super::{shard_figures::ShardFigures, shards::Shards};
use crate::{
    accounting::Accounting,
    names::NamedCounts,
    offload::{self, NewOffload, Offload as _, Xdp},
    options::Config,
    shard::Mail,
};

/// Loads the kernel's data path, if the relay is to have one.
///
/// # Errors
///
/// When the operator has asked for something that cannot be done.
pub(super) fn start(config: &Config) -> anyhow::Result<Option<Xdp>> {
    let is_limited = config.bandwidth.is_limited();
    Ok(config.offload.as_ref().map(|offload| offload::start(offload, is_limited)).transpose()?.flatten())
}

/// Loads it while the relay serves. Without it, all goes on in user space.
pub(super) fn start_late(
    config: &Config,
    shards: &Shards,
    watched: &ShardFigures,
    accounting: &Accounting,
    inherited: &NamedCounts,
) -> Option<Xdp> {
    let xdp = start(config).unwrap_or_else(|error| {
        tracing::error!("relaying in user space after the handover: {error:#}");
        None
    })?;
    watched.read_offload(&xdp, inherited);
    accounting.count_with(xdp.flow_meter());
    shards.tell(|| {
        let mut worker = xdp.worker();
        // The mail about addresses that have changed since the start went to what was there before.
        worker.set_addresses(&watched.addresses.borrow());
        Mail::Offload(NewOffload(Box::new(worker)))
    });
    Some(xdp)
}
