//! Ends permissions, channels, allocations, and one family of a dual-stack allocation.

use std::{net::IpAddr, sync::Arc};

use allocation::{Allocation, Expired, RemovedFamily};

use crate::{
    Account, AllocationId, AllocationPort, Channel, ChannelNumber, Event, Families, Family, FiveTuple, PeerSocket,
    RemovalReason, Server, Timestamp,
};

impl Server {
    /// Does everything that is due at `now`, one deadline after the other. So however late the call is, a channel that expires
    /// before its allocation still finds the allocation, which is needed to remove its flows. Kept out of the data path, which
    /// only checks whether anything is due.
    #[inline(never)]
    pub(crate) fn expire(&mut self, now: Timestamp) {
        let mut unanswered = Vec::new();
        while let Some(due) = self.allocations.poll_timeout().filter(|due| *due <= now) {
            self.allocations.handle_timeout(due);
            while let Some(expired) = self.allocations.poll_expired() {
                match expired {
                    Expired::Allocation(allocation) => self.finish_removal(&allocation, RemovalReason::Expired),
                    Expired::Family { id, family, channels } => {
                        self.bury_family(id, family, &channels, RemovalReason::Expired);
                    }
                    Expired::ChannelExpired { id, channel, peer } => self.channel_expired(id, channel, peer),
                    Expired::PermissionExpired { id, address } => self.permission_ended(id, address),
                    Expired::ChannelReleased { id, channel, peer } => {
                        self.emit(Event::ChannelReleased { id, channel, peer });
                    }
                    Expired::Wait(number) => unanswered.push(number),
                }
            }
        }
        self.return_ports();
        for number in unanswered {
            self.no_answer(now, number);
        }
    }

    /// Handles the end of the permission of allocation `id` for `address`.
    pub(super) fn permission_ended(&mut self, id: AllocationId, address: IpAddr) {
        if let Some(allocation) = self.allocations.get(id) {
            let of = (allocation.five_tuple(), allocation.port());
            self.forget_peers(id, of, &|peer| peer.ip() == address);
        }
        self.emit(Event::PermissionExpired { id, address });
    }

    fn channel_expired(&mut self, id: AllocationId, channel: ChannelNumber, peer: PeerSocket) {
        if let Some(allocation) = self.allocations.get(id) {
            let (five_tuple, port) = (allocation.five_tuple(), allocation.port());
            self.remove_flows(five_tuple, port, channel, peer);
            self.install_data_flow(id, peer);
        }
        self.emit(Event::ChannelExpired { id, channel, peer });
    }

    pub(crate) fn remove_allocation(&mut self, id: AllocationId, reason: RemovalReason) {
        if let Some(allocation) = self.allocations.remove(id) {
            self.finish_removal(&allocation, reason);
        }
    }

    /// Ends one family of an allocation, or the allocation if that was its only family.
    pub(crate) fn remove_family(&mut self, id: AllocationId, family: Family, reason: RemovalReason) {
        match self.allocations.remove_family(id, family) {
            Some(RemovedFamily::Allocation(allocation)) => self.finish_removal(&allocation, reason),
            Some(RemovedFamily::Family(channels)) => self.bury_family(id, family, &channels, reason),
            None => {}
        }
    }

    /// Ends the allocations of user `id` for which `replaced` is true.
    pub(crate) fn remove_of_user(&mut self, id: &str, replaced: impl Fn(&Allocation) -> bool) {
        let of_user = self.allocations.of_user(id);
        let ids: Vec<_> = of_user.filter(|allocation| replaced(allocation)).map(Allocation::id).collect();
        for id in ids {
            self.remove_allocation(id, RemovalReason::Replaced);
        }
    }

    /// Ends the flows, sockets and quotas of an allocation that was taken from the table, and announces its end.
    pub(crate) fn finish_removal(&mut self, allocation: &Allocation, reason: RemovalReason) {
        let (id, five_tuple, port) = (allocation.id(), allocation.five_tuple(), allocation.port());
        if let Some(pending) = self.pending.remove(&id) {
            // It was still being opened: its client has no response yet. One of its sockets may be about to open.
            self.close_relays(id, port, allocation.families());
            self.release_claims(allocation, pending.claims);
            return self.return_ports();
        }
        self.forget_peers(id, (five_tuple, port), &|_| true);
        self.remove_all_flows(five_tuple, port, allocation.channels());
        self.close_relays(id, port, allocation.families());
        if let Some(limit) = &mut self.bandwidth {
            limit.close(port);
        }
        let owner = allocation.owner();
        let (username, user_id) = (Arc::clone(owner.username()), Arc::clone(owner.user_id()));
        self.emit(Event::AllocationRemoved {
            id,
            five_tuple,
            username,
            user_id: Arc::clone(&user_id),
            port,
            account: Box::new(Account { created_at: allocation.created_at(), relayed: allocation.relayed() }),
            reason,
        });
        self.release_claims(allocation, self.claims_of(allocation));
        self.tell_of_end(user_id);
        self.return_ports();
    }

    /// Like [`Self::finish_removal`], for one family of an allocation that lives on in the other.
    fn bury_family(&mut self, id: AllocationId, family: Family, channels: &[Channel], reason: RemovalReason) {
        let Some(allocation) = self.allocations.get(id) else {
            return;
        };
        let (five_tuple, port) = (allocation.five_tuple(), allocation.port());
        self.forget_peers(id, (five_tuple, port), &|peer| Family::of(peer.ip()) == family);
        self.remove_all_flows(five_tuple, port, channels);
        self.close_relays(id, port, Families::Only(family));
        self.emit(Event::FamilyRemoved { id, family, reason });
    }

    fn remove_all_flows(&mut self, five_tuple: FiveTuple, port: AllocationPort, channels: &[Channel]) {
        for channel in channels.iter().filter(|channel| channel.is_bound()) {
            self.remove_flows(five_tuple, port, channel.number(), channel.peer());
        }
    }
}
