//! The command `firezone-relay check-peer`.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};

use relay_server::{PeerAction, PeerForbidden, PeerPorts, PeerRule, PeerVerdict, RelayPlace};

use super::{
    cli::CheckPeerOptions,
    config::Config,
    entropy::Entropy,
    problems::{Collector, Problems},
};
use crate::{addresses::Host, option_names::Name, peers::SourcedRule};

/// The output of `firezone-relay check-peer`, and whether the peer is allowed.
///
/// # Errors
///
/// Everything that is wrong with `options`.
pub(crate) fn check_peer(
    options: &CheckPeerOptions,
    host: &impl Host,
    entropy: &impl Entropy,
) -> Result<(String, bool), Problems> {
    let mut problems = Collector::default();
    let wanted = "an address, or an address and a port, such as 10.0.0.9, 10.0.0.9:53 or [fd00::9]:53";
    let peer = problems.read(Name::new("the peer", "ADDRESS[:PORT]"), Some(&options.peer), wanted, parse_peer);
    let peer = problems.finish(peer)?;
    let config = Config::new(&options.options, host, entropy)?;
    Ok(explain(&config, peer))
}

fn parse_peer(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse() {
        return Some((address, None));
    }
    text.parse::<SocketAddr>().ok().map(|peer| (peer.ip(), Some(peer.port())))
}

fn explain(config: &Config, (address, port): (IpAddr, Option<u16>)) -> (String, bool) {
    let place = RelayPlace {
        relay_addresses: config.relay_addresses(),
        own_addresses: &config.addresses.own,
        listen_port: config.listen_port,
        ports: config.ports,
    };
    let policy = config.peers.policy();
    let (mut text, is_allowed) = match port {
        Some(port) => match policy.check(&place, SocketAddr::new(address, port)) {
            Ok(()) => ("allowed".to_owned(), true),
            Err(why) => (format!("denied: {why}"), false),
        },
        None => match policy.check_address(&place, address) {
            Ok(PeerPorts::All) => ("allowed".to_owned(), true),
            Ok(PeerPorts::Some) => ("allowed at some ports: name one to see".to_owned(), true),
            Err(why) => (format!("denied: {why}"), false),
        },
    };
    // The verdict about the address does not depend on the port.
    for (address, verdict) in policy.explain(&place, SocketAddr::new(address, port.unwrap_or(1))) {
        let _ = write!(text, "\n  {address}: {}", describe(verdict, &config.peers.rules));
    }
    (text, is_allowed)
}

fn describe(verdict: PeerVerdict, rules: &[SourcedRule]) -> String {
    let by_rule = |action, range| {
        let sources = rules.iter().filter(|rule| rule.rule == PeerRule { action, range });
        let sources: Vec<_> = sources.map(|rule| rule.source.as_str()).collect();
        format!("rule `{action} {range}` of {}", sources.join(" and of "))
    };
    match verdict {
        PeerVerdict::Unmentioned => "in no rule and not in the built-in table: allowed".to_owned(),
        PeerVerdict::Open(usage) => format!("{usage}: allowed because of the relay's own address"),
        PeerVerdict::OwnRelayed => "an allocation port of this relay: allowed".to_owned(),
        PeerVerdict::Allowed(range) => by_rule(PeerAction::Allow, range),
        PeerVerdict::Denied(PeerForbidden::Rule { range }) => by_rule(PeerAction::Deny, range),
        PeerVerdict::Denied(PeerForbidden::Special { range, usage }) => format!("built-in table: {range} {usage}"),
        PeerVerdict::Denied(why) => format!("{why}"),
    }
}
