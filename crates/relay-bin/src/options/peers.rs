//! The options about peers.

use clap::Args;
use relay_server::{PeerRange, PeerRule, PeerRuleError, RelayAddresses};

use super::problems::Collector;
use crate::{
    option_names::{ALLOW_PEER, DENY_PEER, Name},
    peers::{PeerConfig, RuleSources, SourcedRule},
};

/// Which peers may be relayed to.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PeerOptions {
    /// Peers that clients may reach although they would be refused, such as 10.0.0.0/8, 10.0.0.7:5000-6000 or [fd00::/8]:5000. May be
    /// repeated; the variable separates several by white space. The most specific range decides, of a rule or of the built-in table
    /// (docs/operations.md, "Peers") [default: none; a relay in a private network serves that network]
    #[arg(long, env = "ALLOW_PEER", value_name = "PEERS", help_heading = "Relaying")]
    pub(crate) allow_peer: Vec<String>,

    /// Peers that clients may not reach, written the same way. Of two rules that are equally specific this one wins
    #[arg(long, env = "DENY_PEER", value_name = "PEERS", help_heading = "Relaying")]
    pub(crate) deny_peer: Vec<String>,

    /// A file with a rule on each line, such as `allow 10.0.0.0/8` or `deny 10.0.0.7:53`; lines that begin with # are comments. It is
    /// read again whenever it changes, and what it denies then ends
    #[arg(long, env = "PEER_RULES_FILE", value_name = "FILE", help_heading = "Relaying")]
    pub(crate) peer_rules_file: Option<String>,
}

/// Reads `options` of a relay with these addresses.
pub(super) fn read(options: &PeerOptions, relay_addresses: RelayAddresses, problems: &mut Collector) -> PeerConfig {
    let mut rules = read_rules(ALLOW_PEER, &options.allow_peer, PeerRule::allow, problems);
    rules.extend(read_rules(DENY_PEER, &options.deny_peer, |range| Ok(PeerRule::deny(range)), problems));
    let file = options.peer_rules_file.as_deref().map(str::trim).filter(|path| !path.is_empty()).map(Into::into);
    let sources = RuleSources { options: rules, file };
    let rules = sources.read().unwrap_or_else(|problem| {
        problems.add(problem);
        Vec::new()
    });
    PeerConfig { sources, rules, relay_addresses }
}

fn read_rules(
    name: Name,
    values: &[String],
    rule: impl Fn(PeerRange) -> Result<PeerRule, PeerRuleError>,
    problems: &mut Collector,
) -> Vec<SourcedRule> {
    let mut rules = Vec::new();
    for text in values.iter().flat_map(|value| value.split_whitespace()) {
        match text.parse::<PeerRange>().map_err(PeerRuleError::from).and_then(&rule) {
            Ok(rule) => rules.push(SourcedRule { rule, source: name.to_string() }),
            Err(error) => problems.add(format!("{name}: {error}")),
        }
    }
    rules
}
