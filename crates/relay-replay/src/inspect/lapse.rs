//! Infers what has expired by the time of a packet.

use std::{cmp::Reverse, net::IpAddr};

use relay_server::RemovalReason;

use super::Inspector;
use crate::{Change, timeline::Timeline};

/// The part of an allocation that expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timed {
    Allocation,
    Channel(u16),
    Permission(IpAddr),
}

impl Inspector {
    pub(super) fn arm(&mut self, timeline: &Timeline, allocation: u32, timed: Timed) {
        if let Some(at) = deadline(timeline, allocation, timed) {
            self.due.push(Reverse((at, allocation, timed)));
        }
    }

    /// Expires what must have expired before the packet in `row`. Each expiry gets its own row before that one.
    pub(super) fn expire(&mut self, timeline: &mut Timeline, row: u32) {
        let Some(now) = timeline.row(row).map(|row| row.unix_nanos) else { return };
        while let Some(&Reverse((at, allocation, timed))) = self.due.peek()
            && at <= now
        {
            self.due.pop();
            if deadline(timeline, allocation, timed) != Some(at) {
                continue;
            }
            match timed {
                Timed::Allocation => {
                    self.by_pair.retain(|_, number| *number != allocation);
                    self.by_relayed.retain(|_, number| *number != allocation);
                    timeline.internal_before_last(at, Change::Removed { allocation, reason: RemovalReason::Expired });
                }
                Timed::Permission(address) => {
                    timeline.internal_before_last(at, Change::PermissionExpired { allocation, address });
                }
                Timed::Channel(channel) => {
                    let bound = timeline
                        .view
                        .allocations
                        .get(&allocation)
                        .and_then(|allocation| allocation.channels.get(&channel))
                        .is_some_and(|channel| channel.bound);
                    if bound {
                        timeline.internal_before_last(at, Change::ChannelExpired { allocation, channel });
                        self.arm(timeline, allocation, Timed::Channel(channel));
                    } else {
                        timeline.internal_before_last(at, Change::ChannelReleased { allocation, channel });
                    }
                }
            }
        }
    }
}

/// When an allocation, or a part of it, expires next.
fn deadline(timeline: &Timeline, allocation: u32, timed: Timed) -> Option<u64> {
    let allocation = timeline.view.allocations.get(&allocation)?;
    match timed {
        Timed::Allocation => Some(allocation.expires_at()),
        Timed::Permission(address) => Some(allocation.permissions.get(&address)?.expires_at),
        Timed::Channel(number) => {
            let channel = allocation.channels.get(&number)?;
            Some(if channel.bound { channel.expires_at } else { channel.reusable_at })
        }
    }
}
