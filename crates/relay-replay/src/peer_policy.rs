//! Reads a recorded peer policy.

use std::sync::Arc;

use relay_server::{PeerPolicy, PeerRule, SpecialUse};

/// The recorded policy. The error says what is wrong with the record.
pub(crate) fn read(recorded: &packet_trace::PeerPolicy) -> Result<Arc<PeerPolicy>, String> {
    let packet_trace::PeerPolicy { open, machine_is_open, rules } = recorded;
    let open =
        open.iter().map(|name| SpecialUse::named(name).ok_or_else(|| format!("{name:?} is no use of addresses")));
    let rules = rules.iter().map(|rule| rule.parse::<PeerRule>().map_err(|error| error.to_string()));
    let policy = PeerPolicy::new(open.collect::<Result<Vec<_>, _>>()?, rules.collect::<Result<Vec<_>, _>>()?);
    Ok(Arc::new(if *machine_is_open { policy.with_open_machine() } else { policy }))
}
