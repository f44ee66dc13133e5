//! Handles Allocate requests, and decides quotas and families.

use std::sync::Arc;

use allocation::{AllocateError, Allocation, Credential, NewAllocation, Owner, PortRequest, ReservationToken};
use stun_msg::{Allocate, AttributeType};

use crate::{
    AddressStatus, DefaultFamily, DropReason, Families, Family, Rejection, Server, ShardMessage, Timestamp,
    UsernameLimit, borrowings::Borrow, family, lifetime, peer_policy, pending_allocation::PendingAllocation,
    requester::Requester,
};

/// The IANA protocol number of UDP, the only transport between this relay and peers.
const UDP: u8 = 17;

impl Server {
    /// [RFC 8656, section 7.2](https://www.rfc-editor.org/rfc/rfc8656#section-7.2). The numbers in comments are those of its checks.
    pub(crate) fn handle_allocate(
        &mut self,
        now: Timestamp,
        requester: &Requester,
        credential: Credential<'_>,
        request: &Allocate,
    ) -> Result<(), Rejection> {
        if peer_policy::is_forbidden_client(requester.five_tuple.client.address().ip()) {
            return Err(Rejection::ClientForbidden);
        }
        // 2
        if let Some(waiting) = self.check_borrowing(requester, credential.username) {
            return waiting;
        }
        if let Some(existing) = self.allocations.by_five_tuple(&requester.five_tuple) {
            if existing.transaction_id() != requester.transaction.id.0
                || **existing.owner().username() != *credential.username
            {
                return Err(Rejection::AllocationExists);
            }
            // A retransmission of the request that made this allocation.
            let id = existing.id();
            if self.pending.contains_key(&id) {
                self.drop_from_client(requester.five_tuple, DropReason::RequestInProgress);
            } else {
                self.answer_allocate(requester, id, request.additional_family.is_some());
            }
            return Ok(());
        }
        // 3
        match request.requested_transport {
            None => return Err(Rejection::NoRequestedTransport),
            Some(UDP) => {}
            Some(protocol) => return Err(Rejection::UnsupportedTransport { protocol }),
        }
        // 4
        if request.dont_fragment && !self.config.knows_dont_fragment() {
            self.reject_unknown_attributes(requester, &[AttributeType::DONT_FRAGMENT]);
            return Ok(());
        }
        // 5
        let remote_quota =
            request.even_port.is_some() || request.requested_family.is_some() || request.additional_family.is_some();
        if request.reservation_token.is_some() && remote_quota {
            return Err(Rejection::ReservationConflict);
        }
        // 6, 7 and 9. A reserved port has its families already, so these are not checked.
        let families = match request.reservation_token {
            Some(_) => Families::Both,
            None => self.families(requester, request)?,
        };
        // 8
        let port = match (request.reservation_token, request.even_port) {
            (Some(token), _) => PortRequest::Reserved(ReservationToken::new(token)),
            (None, Some(true)) if request.additional_family.is_some() => return Err(Rejection::EvenPortConflict),
            (None, Some(true)) => PortRequest::EvenAndReserveNext,
            (None, Some(false)) => PortRequest::Even,
            (None, None) => PortRequest::Any,
        };
        // 10
        self.check_quota(credential.user_id)?;
        if self.draining {
            return Err(Rejection::Draining);
        }

        let (dual_stack, lifetime) = (request.additional_family.is_some(), lifetime::of_allocate(request.lifetime));
        let new = NewAllocation {
            five_tuple: requester.five_tuple,
            credential,
            transaction_id: requester.transaction.id.0,
            lifetime,
            families,
            port,
        };
        let id = match (self.allocations.allocate(now, new).map(Allocation::id), port.need()) {
            (Ok(id), _) => id,
            (Err(AllocateError::NoFreePort), Some(need)) => {
                self.borrow(
                    now,
                    Borrow {
                        requester: requester.clone(),
                        dual_stack,
                        owner: Arc::new(Owner::of(&credential)),
                        lifetime,
                        families,
                        need,
                        tried: 0,
                    },
                );
                return Ok(());
            }
            (Err(error), _) => return Err(Rejection::of_allocate(error)),
        };
        if let Some(token) = request.reservation_token.map(ReservationToken::new) {
            self.tell_shards(ShardMessage::ReservationTaken { token });
        }
        self.pending.insert(id, PendingAllocation::new(requester.clone(), dual_stack));
        self.continue_opening(id);
        Ok(())
    }

    /// Whether user `id` may have one more allocation, as far as this shard knows. This refuses early;
    /// [`Output::ClaimQuota`](crate::Output::ClaimQuota) decides before the success response.
    pub(crate) fn check_quota(&self, id: &str) -> Result<(), Rejection> {
        match self.config.username_limit {
            UsernameLimit::RefuseBeyond(limit)
                if self.config.unlimited_user.as_deref() != Some(id) && self.count_of_user(id) >= limit as usize =>
            {
                Err(Rejection::QuotaReached)
            }
            _ => Ok(()),
        }
    }

    /// The limit on allocations of user `id` on all shards together; `None` if there is no limit or no other shard.
    pub(crate) fn limit_on_all_shards(&self, id: &str) -> Option<u32> {
        match self.config.username_limit {
            UsernameLimit::RefuseBeyond(limit)
                if self.has_other_shards() && self.config.unlimited_user.as_deref() != Some(id) =>
            {
                Some(limit)
            }
            _ => None,
        }
    }

    /// How many allocations user `id` has on all shards, as far as this shard knows.
    fn count_of_user(&self, id: &str) -> usize {
        self.allocations.count_of_user(id) + self.remote_quota.count(id) as usize
    }

    /// The families to allocate. A request for both gets one if the relay cannot offer the other.
    fn families(&self, requester: &Requester, request: &Allocate) -> Result<Families, Rejection> {
        let offer = |family| match self.address_status(family) {
            Some(AddressStatus::Present) => Ok(()),
            Some(AddressStatus::Missing) => Err(Rejection::AddressMissing),
            Some(AddressStatus::NoFamily) | None => Err(Rejection::FamilyNotSupported),
        };
        let only = |family: Option<Family>| {
            let family = family.ok_or(Rejection::FamilyNotSupported)?;
            offer(family).map(|()| Families::Only(family))
        };
        match (request.requested_family, request.additional_family) {
            (Some(_), Some(_)) => Err(Rejection::FamilyConflict),
            (Some(code), None) => only(family::from_code(code)),
            (None, None) => only(Some(match self.config.default_family {
                DefaultFamily::V4 => Family::V4,
                DefaultFamily::Client => Family::of(requester.five_tuple.client.address().ip()),
            })),
            (None, Some(code)) => match family::from_code(code) {
                Some(Family::V4) => Err(Rejection::AdditionalIpv4),
                Some(Family::V6) => match (offer(Family::V4), offer(Family::V6)) {
                    (Ok(()), Ok(())) => Ok(Families::Both),
                    (Ok(()), Err(_)) => Ok(Families::Only(Family::V4)),
                    (Err(_), Ok(())) => Ok(Families::Only(Family::V6)),
                    // A missing address may come back, or another relay may have one, so 508 takes precedence over 440.
                    (Err(Rejection::AddressMissing), _) | (_, Err(Rejection::AddressMissing)) => {
                        Err(Rejection::AddressMissing)
                    }
                    (Err(rejection), Err(_)) => Err(rejection),
                },
                None => Err(Rejection::FamilyNotSupported),
            },
        }
    }
}
