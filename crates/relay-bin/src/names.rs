//! The names of counted values. Metrics and accounting show them, so dashboards depend on them: a name never changes, and none gets another
//! meaning. A process hands its counts to the next one by name, too.

use std::collections::BTreeMap;

use relay_server::{DropReason, RemovalReason, ReplyKind};
use serde::{Deserialize, Serialize};

/// A value that counts are kept by.
pub(crate) trait Named: Sized {
    /// The name of this value.
    fn name(self) -> &'static str;

    /// The value with this name, if this build knows one.
    fn named(name: &str) -> Option<Self>;
}

/// Implements [`Named`] for an enum from a table of its variants. A variant that is not in the table is a compile error. Variants that
/// hold another [`Named`] value have the name of that value.
macro_rules! names {
    ($type:ty { $($value:path => $name:literal,)* $(.. $holder:path,)? }) => {
        impl crate::names::Named for $type {
            fn name(self) -> &'static str {
                match self {
                    $($value => $name,)*
                    $($holder(held) => crate::names::Named::name(held),)?
                }
            }

            fn named(name: &str) -> Option<Self> {
                $(if let Some(held) = crate::names::Named::named(name) {
                    return Some($holder(held));
                })?
                match name {
                    $($name => Some($value),)*
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use names;

names! { RemovalReason {
    RemovalReason::Expired => "expired",
    RemovalReason::Deleted => "deleted",
    RemovalReason::Replaced => "replaced",
    RemovalReason::RelayFailed => "relay_failed",
} }

names! { ReplyKind {
    ReplyKind::Binding => "binding",
    ReplyKind::Challenge => "challenge",
} }

names! { DropReason {
    DropReason::NotStunNorChannelData => "not_stun_nor_channel_data",
    DropReason::MalformedStun => "malformed_stun",
    DropReason::TruncatedChannelData => "truncated_channel_data",
    DropReason::NoAllocation => "no_allocation",
    DropReason::NoChannel => "no_channel",
    DropReason::UnknownPort => "unknown_port",
    DropReason::UnknownPeer => "unknown_peer",
    DropReason::ImpossibleSource => "impossible_source",
    DropReason::UnexpectedResponse => "unexpected_response",
    DropReason::UnknownMethod => "unknown_method",
    DropReason::UnknownIndication => "unknown_indication",
    DropReason::SendIndication => "send_indication",
    DropReason::IncompleteSend => "incomplete_send",
    DropReason::UnknownAttribute => "unknown_attribute",
    DropReason::NoPermission => "no_permission",
    DropReason::PeerFamilyMismatch => "peer_family_mismatch",
    DropReason::PeerForbidden => "peer_forbidden",
    DropReason::UnknownIcmp => "unknown_icmp",
    DropReason::IcmpLimit => "icmp_limit",
    DropReason::AllocationBandwidth => "allocation_bandwidth",
    DropReason::UserBandwidth => "user_bandwidth",
    DropReason::TotalBandwidth => "total_bandwidth",
    DropReason::RequestInProgress => "request_in_progress",
} }

/// The counts that one process hands to the next, by figure and key.
///
/// A figure has the name of its metric, if there is one. Its key is the name of one of its values, such as the reason of a drop, and is empty if
/// the figure has only one value. Figures and keys are text because the two processes may be different builds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NamedCounts(BTreeMap<(String, String), u64>);

impl NamedCounts {
    /// Adds `count` to the value `key` of `figure`.
    pub(crate) fn add(&mut self, figure: &str, key: &str, count: u64) {
        if count > 0 {
            let sum = self.0.entry((figure.to_owned(), key.to_owned())).or_default();
            *sum = sum.saturating_add(count);
        }
    }

    /// The value `key` of `figure`; 0 if it is missing.
    pub(crate) fn get(&self, figure: &str, key: &str) -> u64 {
        self.0.get(&(figure.to_owned(), key.to_owned())).copied().unwrap_or(0)
    }

    /// All values as figure, key and count.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.0.iter().map(|((figure, key), count)| (figure.as_str(), key.as_str(), *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back_to_its_value() {
        for name in ["no_channel", "request_in_progress"] {
            assert_eq!(DropReason::named(name).map(Named::name), Some(name));
        }
        assert_eq!(RemovalReason::named("replaced"), Some(RemovalReason::Replaced));
        assert_eq!(ReplyKind::named("of_tomorrow"), None);
    }

    #[test]
    fn counts_add_up_and_survive_postcard() {
        let mut counts = NamedCounts::default();
        for (key, count) in [("a", 1), ("b", 2), ("a", u64::MAX), ("c", 0)] {
            counts.add("figure", key, count);
        }
        let bytes = postcard::to_allocvec(&counts).unwrap();
        let counts: NamedCounts = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(counts.iter().collect::<Vec<_>>(), [("figure", "a", u64::MAX), ("figure", "b", 2)]);
        assert_eq!((counts.get("figure", "b"), counts.get("figure", "c")), (2, 0));
    }
}
