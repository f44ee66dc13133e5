//! STUN requests: dispatch and authentication here, and a file for each method's handler.

mod allocate;
mod authenticate;
mod binding;
mod channel_bind;
mod create_permission;
mod refresh;
mod reply_limit;
mod respond;

use std::net::IpAddr;

use allocation::{Allocation, Credential};
use stun_msg::{Class, Message, Method, Request, RequestError};

use crate::{
    AllocationId, DropReason, Event, Family, FiveTuple, Rejection, Server, Timestamp, peer_policy::is_unicast,
    requester::Requester,
};

impl Server {
    /// Handles a datagram that looks like STUN.
    pub(crate) fn handle_stun(&mut self, now: Timestamp, from: FiveTuple, datagram: &[u8]) {
        let message = match Message::parse(datagram) {
            Ok(message) => message,
            Err(_) => return self.drop_from_client(from, DropReason::MalformedStun),
        };
        match message.class() {
            Class::Request => self.handle_request(now, from, &message),
            Class::Indication => match message.method() {
                // RFC 8489, section 6.3.2: a Binding indication keeps a NAT's mapping alive and is not answered.
                Method::BINDING => {}
                Method::SEND => self.refuse_send(from),
                _ => self.drop_from_client(from, DropReason::UnknownIndication),
            },
            Class::Success | Class::Error => self.drop_from_client(from, DropReason::UnexpectedResponse),
        }
    }

    fn handle_request(&mut self, now: Timestamp, from: FiveTuple, message: &Message<'_>) {
        if !matches!(
            message.method(),
            Method::BINDING | Method::ALLOCATE | Method::REFRESH | Method::CHANNEL_BIND | Method::CREATE_PERMISSION
        ) {
            // RFC 8489, section 6.3: a message with an unknown method is silently discarded.
            return self.drop_from_client(from, DropReason::UnknownMethod);
        }
        if !self.can_answer(from) {
            return self.drop_from_client(from, DropReason::ImpossibleSource);
        }
        if !self.may_reply_unsigned(now, from, message) {
            return;
        }
        let mut requester = Requester::new(from, message);
        let authenticated = match message.method() {
            Method::BINDING => None,
            _ => match self.authenticate(now, &from, message) {
                Ok(authenticated) => {
                    self.note_authenticated(now, from, message);
                    requester.key = Some(authenticated.key.clone());
                    Some(authenticated)
                }
                Err(error) => return self.challenge(now, &requester, message, error),
            },
        };
        let credential =
            authenticated.as_ref().map_or(Credential::unsigned(""), |authenticated| self.credential(authenticated));
        let username = credential.username;
        let handled = match message.request() {
            Ok(Request::Binding) => {
                self.handle_binding(&requester);
                Ok(())
            }
            Ok(Request::Allocate(allocate)) => self.handle_allocate(now, &requester, credential, &allocate),
            Ok(Request::Refresh(refresh)) => self
                .authorized_allocation(from, username)
                .and_then(|id| self.handle_refresh(now, &requester, id, &refresh)),
            Ok(Request::ChannelBind(channel_bind)) => self
                .authorized_allocation(from, username)
                .and_then(|id| self.handle_channel_bind(now, &requester, id, &channel_bind)),
            Ok(Request::CreatePermission(create_permission)) => self
                .authorized_allocation(from, username)
                .and_then(|id| self.handle_create_permission(now, &requester, id, &create_permission)),
            Err(RequestError::UnknownAttributes(unknown)) => {
                self.reject_unknown_attributes(&requester, &unknown);
                Ok(())
            }
            Err(RequestError::Malformed { attribute }) => Err(Rejection::MalformedAttribute { attribute }),
            Err(RequestError::NotARequest | RequestError::UnknownMethod(_)) => {
                self.drop_from_client(from, DropReason::UnknownMethod);
                Ok(())
            }
        };
        if let Err(rejection) = handled {
            self.reject(&requester, rejection);
        }
    }

    /// Whether a client can have the source of a request. Anybody can forge it: a response to the relay's own listening port would go
    /// to the relay itself, and one to port 0 or to many hosts helps no client.
    pub(super) fn can_answer(&self, from: FiveTuple) -> bool {
        let client = from.client.address();
        let is_own = client.port() == self.config.listen_port && self.place().has(client.ip());
        client.port() != 0 && is_unicast(client.ip()) && !is_own
    }

    /// Drops a Send indication because indications are off.
    fn refuse_send(&mut self, from: FiveTuple) {
        if let Some(id) = self.allocations.by_five_tuple(&from).map(Allocation::id) {
            self.emit(Event::IndicationsAreOff { id });
        }
        self.drop_from_client(from, DropReason::SendIndication);
    }

    /// Whether the allocation has a relayed transport address of the same family as `peer`.
    fn check_family(&self, id: AllocationId, peer: IpAddr) -> Result<(), Rejection> {
        match self.allocations.get(id) {
            Some(allocation) if allocation.families().contains(Family::of(peer)) => Ok(()),
            Some(_) => Err(Rejection::FamilyMismatch),
            None => Err(Rejection::NoAllocation),
        }
    }

    /// The allocation of `from`, if it was made with `username`. [RFC 8656, section
    /// 5](https://www.rfc-editor.org/rfc/rfc8656#section-5)
    /// requires both checks for every request but Allocate.
    fn authorized_allocation(&self, from: FiveTuple, username: &str) -> Result<AllocationId, Rejection> {
        let allocation = self
            .allocations
            .by_five_tuple(&from)
            .filter(|allocation| !self.pending.contains_key(&allocation.id()))
            .ok_or(Rejection::NoAllocation)?;
        if **allocation.owner().username() != *username {
            return Err(Rejection::WrongCredentials);
        }
        Ok(allocation.id())
    }
}
