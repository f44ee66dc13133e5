//! The checked configuration of peer rules.

use std::sync::Arc;

use relay_server::{PeerPolicy, RelayAddresses, SpecialUse};

use super::rules::{RuleSources, SourcedRule};
use crate::option_names::ALLOW_PEER;

/// The rules about peers and the relay's addresses, from which the policy follows.
#[derive(Clone, Debug)]
pub(crate) struct PeerConfig {
    pub(crate) sources: RuleSources,
    /// The rules at the start.
    pub(crate) rules: Vec<SourcedRule>,
    pub(crate) relay_addresses: RelayAddresses,
}

impl PeerConfig {
    /// The policy with these rules.
    pub(crate) fn policy_of(&self, rules: &[SourcedRule]) -> Arc<PeerPolicy> {
        PeerPolicy::of_relay_at(&self.relay_addresses, rules.iter().map(|rule| rule.rule)).into()
    }

    /// The policy at the start.
    pub(crate) fn policy(&self) -> Arc<PeerPolicy> {
        self.policy_of(&self.rules)
    }

    /// Logs in one line which peers are refused without rules, and how to change that.
    pub(crate) fn log(&self) {
        let rules = self.rules.len();
        let addresses: Vec<_> = self.relay_addresses.iter().collect();
        tracing::info!(rules, ?addresses, "peers: {}", text(&self.policy()));
    }
}

fn text(policy: &PeerPolicy) -> String {
    if policy.machine_is_open() {
        return "the relay has no address but loopback, so this machine and private networks may be relayed to"
            .to_owned();
    }
    let is_open = |usage| policy.open().any(|open| open == usage);
    match (is_open(SpecialUse::Private), is_open(SpecialUse::UniqueLocal)) {
        (false, false) => format!(
            "private networks are refused with 403; where clients must reach one, allow it, such as with {ALLOW_PEER} 10.0.0.0/8"
        ),
        (true, false) => {
            "private IPv4 networks may be relayed to, since the relay is in one, private IPv6 networks not".to_owned()
        }
        (false, true) => {
            "private IPv6 networks may be relayed to, since the relay is in one, private IPv4 networks not".to_owned()
        }
        (true, true) => "private networks may be relayed to, since the relay is in one".to_owned(),
    }
}
