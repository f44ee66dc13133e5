//! A one-line summary of a change.

use crate::{
    Change, Outcome,
    explain::{address_of, name, words_for},
    view::words,
};

impl Change {
    /// A short sentence for lists, such as `A1: channel 0x4000 expired`. `None` for the changes of every relayed packet.
    #[must_use]
    pub fn headline(&self) -> Option<String> {
        Some(match self {
            Self::Began { shard, allocations, .. } => {
                format!("the recording of worker {shard} begins with {} allocations", allocations.len())
            }
            Self::Created(new) => format!("{}: allocated", name(new.number)),
            Self::Refreshed { allocation, .. } => format!("{}: refreshed", name(*allocation)),
            Self::FamilyRemoved { allocation, family, .. } => {
                format!("{}: {} ended", name(*allocation), address_of(*family).replace("Its", "its"))
            }
            Self::Removed { allocation, reason } => format!("{}: {}", name(*allocation), words(reason)),
            Self::ChannelBound { allocation, channel, renewal, .. } => {
                format!("{}: channel {channel:#06x} {}", name(*allocation), if *renewal { "renewed" } else { "bound" })
            }
            Self::ChannelExpired { allocation, channel } => {
                format!("{}: channel {channel:#06x} expired", name(*allocation))
            }
            Self::ChannelReleased { allocation, channel } => {
                format!("{}: channel {channel:#06x} free", name(*allocation))
            }
            Self::PermissionInstalled { allocation, address, renewal } => {
                format!(
                    "{}: permission for {address} {}",
                    name(*allocation),
                    if *renewal { "renewed" } else { "installed" }
                )
            }
            Self::PermissionExpired { allocation, address } => {
                format!("{}: permission for {address} ended", name(*allocation))
            }
            Self::Responded { outcome: Outcome::Success, .. } | Self::Relayed { .. } => return None,
            Self::Responded { method, outcome } => {
                format!("{} refused: {}", stun_msg::Method::new(*method), outcome.error_code().unwrap_or_default())
            }
            Self::Dropped { reason } => format!("dropped: {}", words(reason)),
            Self::IcmpTold { allocation, peer, .. } => {
                let of = allocation.map_or_else(String::new, |allocation| format!("{}: ", name(allocation)));
                format!("{of}ICMP error about {}", words_for(Some(*peer)))
            }
            Self::Draining => "draining".to_owned(),
        })
    }
}
