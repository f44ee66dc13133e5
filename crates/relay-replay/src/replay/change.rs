//! Converts events of the state machine to changes.

use std::net::SocketAddr;

use relay_server::{AllocationId, AuthError, Event, Rejection};

use super::Shard;
use crate::{Change, Outcome, change::NewAllocation, timeline::Timeline};

impl Shard {
    pub(super) fn change(&mut self, timeline: &mut Timeline, event: Event) -> Option<Change> {
        let number = |shard: &Self, id: AllocationId| shard.numbers.get(&id.as_u64()).copied();
        Some(match event {
            Event::AllocationCreated { id, five_tuple, username, port, families, lifetime, .. } => {
                let number = timeline.next_allocation();
                self.opening.remove(&id.as_u64());
                self.numbers.insert(id.as_u64(), number);
                self.by_port.insert(port.get(), number);
                self.by_client.insert(five_tuple, number);
                let addresses = &self.server.config().relay_addresses;
                let relayed = families.iter().filter_map(|family| addresses.socket(family, port)).collect();
                Change::Created(
                    NewAllocation {
                        number,
                        shard: self.index,
                        id: id.as_u64(),
                        client: five_tuple.client.address(),
                        server: SocketAddr::new(five_tuple.server, self.listen_port),
                        username: username.to_string(),
                        relayed,
                        lifetime: u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX),
                    }
                    .into(),
                )
            }
            Event::FamilyRemoved { id, family, reason } => {
                Change::FamilyRemoved { allocation: number(self, id)?, family, reason }
            }
            Event::AllocationRefreshed { id, family, lifetime } => Change::Refreshed {
                allocation: number(self, id)?,
                family,
                lifetime: u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX),
            },
            Event::AllocationRemoved { id, five_tuple, port, reason, .. } => {
                let allocation = self.numbers.remove(&id.as_u64())?;
                self.by_port.remove(&port.get());
                self.by_client.remove(&five_tuple);
                Change::Removed { allocation, reason }
            }
            Event::ChannelBound { id, channel, peer, renewal } => Change::ChannelBound {
                allocation: number(self, id)?,
                channel: channel.get(),
                peer: peer.address(),
                renewal,
            },
            Event::ChannelExpired { id, channel, .. } => {
                Change::ChannelExpired { allocation: number(self, id)?, channel: channel.get() }
            }
            Event::ChannelReleased { id, channel, .. } => {
                Change::ChannelReleased { allocation: number(self, id)?, channel: channel.get() }
            }
            Event::PermissionInstalled { id, address, renewal } => {
                Change::PermissionInstalled { allocation: number(self, id)?, address, renewal }
            }
            Event::PermissionExpired { id, address } => {
                Change::PermissionExpired { allocation: number(self, id)?, address }
            }
            Event::Responded { method, outcome, .. } => Change::Responded {
                method,
                outcome: match outcome {
                    Ok(()) => Outcome::Success,
                    Err(Rejection::NotAuthenticated(AuthError::Unauthenticated)) => Outcome::Challenged,
                    Err(rejection) => Outcome::Rejected(rejection),
                },
            },
            Event::Dropped { reason, .. } => Change::Dropped { reason },
            Event::IcmpTold { port, peer, icmp } => {
                Change::IcmpTold { allocation: self.by_port.get(&port.get()).copied(), peer: peer.address(), icmp }
            }
            _ => return None,
        })
    }
}
