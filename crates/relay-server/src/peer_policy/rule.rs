use std::{fmt, str::FromStr};

use super::{
    forbidden::PeerForbidden,
    never::never,
    range::{PeerRange, PeerRangeError},
};

/// An operator's rule about peers.
///
/// As text, it is `allow` or `deny`, followed by a [`PeerRange`]: `allow 10.0.0.0/8`, `deny 198.51.100.7:53`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerRule {
    /// What to do with the peers.
    pub action: PeerAction,
    /// The peers.
    pub range: PeerRange,
}

/// What a [`PeerRule`] does with its peers. Of two equally specific rules, `Deny` sorts first and wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerAction {
    /// Refuse them.
    Deny,
    /// Relay to them.
    Allow,
}

/// Why a text is not a rule, or is a rule without any effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerRuleError {
    /// It begins with neither `allow` nor `deny`.
    #[error("{0:?} is no rule: write `allow` or `deny`, and addresses, such as `allow 10.0.0.0/8`")]
    Action(String),
    /// Its range is not valid.
    #[error(transparent)]
    Range(#[from] PeerRangeError),
    /// It allows only peers that are never relayed to.
    #[error("{0} can not be allowed: {1}")]
    Never(PeerRange, PeerForbidden),
}

impl PeerRule {
    /// A rule that allows `range`.
    ///
    /// # Errors
    ///
    /// When no peer in `range` can be allowed.
    pub fn allow(range: PeerRange) -> Result<Self, PeerRuleError> {
        let net = range.net();
        match (never(net.network()), never(net.broadcast())) {
            (Some(why), Some(other)) if why == other => Err(PeerRuleError::Never(range, why)),
            _ => Ok(Self { action: PeerAction::Allow, range }),
        }
    }

    /// A rule that denies `range`.
    #[must_use]
    pub const fn deny(range: PeerRange) -> Self {
        Self { action: PeerAction::Deny, range }
    }
}

impl fmt::Display for PeerAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

impl fmt::Display for PeerRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.action, self.range)
    }
}

impl FromStr for PeerRule {
    type Err = PeerRuleError;

    fn from_str(text: &str) -> Result<Self, PeerRuleError> {
        let no_action = || PeerRuleError::Action(text.to_owned());
        let (action, range) = text.trim().split_once(char::is_whitespace).ok_or_else(no_action)?;
        let range = || range.trim().parse::<PeerRange>();
        match action {
            "allow" => Self::allow(range()?),
            "deny" => Ok(Self::deny(range()?)),
            _ => Err(no_action()),
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn rules_are_written_as_they_are_read() {
        for text in ["allow 10.0.0.0/8", "deny [fd00::/8]:1000-2000"] {
            assert_eq!(text.parse::<PeerRule>().unwrap().to_string(), text);
        }
        assert_eq!(" deny \t 10.0.0.7 ".parse::<PeerRule>().unwrap().to_string(), "deny 10.0.0.7/32");
        for text in ["", "allow", "permit 10.0.0.0/8", "10.0.0.0/8"] {
            assert!(matches!(text.parse::<PeerRule>(), Err(PeerRuleError::Action(_))), "{text}");
        }
    }

    #[test]
    fn what_is_never_relayed_to_can_not_be_allowed() {
        for text in ["224.0.0.0/4", "239.1.2.3", "ff00::/8", "240.0.0.0/4", "0.0.0.0", "::", "2002::/16", "fe80::1"] {
            let rule = format!("allow {text}").parse::<PeerRule>();
            assert!(matches!(rule, Err(PeerRuleError::Never(..))), "{text}: {rule:?}");
            assert!(format!("deny {text}").parse::<PeerRule>().is_ok(), "{text}");
        }
        for text in ["0.0.0.0/0", "::/0", "127.0.0.0/8", "169.254.169.254"] {
            assert!(format!("allow {text}").parse::<PeerRule>().is_ok(), "{text}");
        }
    }
}
