//! What must have lapsed by the time of a packet.

use std::{cmp::Reverse, net::IpAddr};

use relay_server::RemovalReason;

use super::Inspector;
use crate::{Change, book::Book};

/// What of an allocation lapses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timed {
    Allocation,
    Channel(u16),
    Permission(IpAddr),
}

impl Inspector {
    pub(super) fn arm(&mut self, book: &Book, allocation: u32, timed: Timed) {
        if let Some(at) = deadline(book, allocation, timed) {
            self.due.push(Reverse((at, allocation, timed)));
        }
    }

    /// Lets lapse what must have lapsed before the packet in `row`, on rows of their own in front of it.
    pub(super) fn expire(&mut self, book: &mut Book, row: u32) {
        let Some(now) = book.row(row).map(|row| row.unix_nanos) else { return };
        while let Some(&Reverse((at, allocation, timed))) = self.due.peek()
            && at <= now
        {
            self.due.pop();
            if deadline(book, allocation, timed) != Some(at) {
                continue;
            }
            match timed {
                Timed::Allocation => {
                    self.by_pair.retain(|_, number| *number != allocation);
                    self.by_relayed.retain(|_, number| *number != allocation);
                    book.internal_before_last(at, Change::Removed { allocation, reason: RemovalReason::Expired });
                }
                Timed::Permission(address) => {
                    book.internal_before_last(at, Change::PermissionExpired { allocation, address });
                }
                Timed::Channel(channel) => {
                    let bound = book
                        .view
                        .allocations
                        .get(&allocation)
                        .and_then(|allocation| allocation.channels.get(&channel))
                        .is_some_and(|channel| channel.bound);
                    if bound {
                        book.internal_before_last(at, Change::ChannelExpired { allocation, channel });
                        self.arm(book, allocation, Timed::Channel(channel));
                    } else {
                        book.internal_before_last(at, Change::ChannelReleased { allocation, channel });
                    }
                }
            }
        }
    }
}

/// When an allocation, or something of it, lapses next.
fn deadline(book: &Book, allocation: u32, timed: Timed) -> Option<u64> {
    let allocation = book.view.allocations.get(&allocation)?;
    match timed {
        Timed::Allocation => Some(allocation.expires_at()),
        Timed::Permission(address) => Some(allocation.permissions.get(&address)?.expires_at),
        Timed::Channel(number) => {
            let channel = allocation.channels.get(&number)?;
            Some(if channel.bound { channel.expires_at } else { channel.reusable_at })
        }
    }
}
