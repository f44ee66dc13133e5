//! Sends success and error responses.

use stun_msg::{AddressError, AllocateSuccess, AttributeType, ErrorCode, Message, Response};
use turn_auth::{AuthError, Nonce};

use crate::{
    AddressStatus, AllocationId, Event, Family, FiveTuple, Output, Rejection, Server, Timestamp, family,
    requester::Requester,
};

/// The length in bytes, without the realm, of a challenge with
/// [`PasswordAlgorithm::OFFER`](stun_msg::PasswordAlgorithm::OFFER): header, ERROR-CODE without a reason, REALM, NONCE,
/// PASSWORD-ALGORITHMS.
const OFFER_LEN: usize = 20 + 8 + 4 + (4 + Nonce::OFFER_LEN.next_multiple_of(4)) + 12;

const FINGERPRINT_LEN: usize = 8;

impl Server {
    pub(crate) fn succeed(&mut self, requester: &Requester, response: Response<'_>) {
        self.respond(requester, response, Ok(()));
    }

    /// Sends the success response of an allocation. A retransmitted request gets the same one.
    pub(crate) fn answer_allocate(&mut self, requester: &Requester, id: AllocationId, dual_stack: bool) {
        let Some(allocation) = self.allocations.get(id) else {
            return;
        };
        let granted = allocation.families();
        let port = allocation.port();
        let missing = Family::ALL.into_iter().find(|family| dual_stack && !granted.contains(*family));
        let response = Response::allocate_success(
            requester.transaction,
            AllocateSuccess {
                relayed_v4: self.config.relay_addresses.socket_v4(port).filter(|_| granted.contains(Family::V4)),
                relayed_v6: self.config.relay_addresses.socket_v6(port).filter(|_| granted.contains(Family::V6)),
                mapped: requester.five_tuple.client.address(),
                lifetime: allocation.lifetime(),
                reservation_token: allocation.reservation().map(|token| token.to_bytes()),
                address_error: missing.map(|family| AddressError {
                    family: family::to_code(family),
                    code: match self.address_status(family) {
                        Some(AddressStatus::Present | AddressStatus::Missing) => ErrorCode::INSUFFICIENT_CAPACITY,
                        Some(AddressStatus::NoFamily) | None => ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED,
                    },
                }),
            },
        );
        self.respond(requester, response, Ok(()));
    }

    /// Sends an error response, for every rejection but unknown attributes.
    pub(crate) fn reject(&mut self, requester: &Requester, rejection: Rejection) {
        let reason = rejection.reason_phrase();
        let response = Response::error(requester.transaction, rejection.error_code()).reason(&reason);
        self.respond(requester, response, Err(rejection));
    }

    /// Sends the error response to a request that is not authenticated: 401, 438, or 400 if a part of the credentials is missing.
    pub(crate) fn challenge(&mut self, now: Timestamp, requester: &Requester, message: &Message<'_>, error: AuthError) {
        let rejection = Rejection::from(error);
        let offers_algorithms = self.offers_algorithms(requester, message);
        let client = requester.five_tuple.client.address();
        let nonce = self.authenticator.nonce(self.unix_time(now), client, offers_algorithms);
        let reason = rejection.reason_phrase();
        let mut response =
            Response::error(requester.transaction, rejection.error_code()).reason(&reason).max_len(requester.max_len());
        if error.needs_challenge() {
            response = response.challenge(self.authenticator.realm(), nonce.as_bytes());
            if offers_algorithms {
                response = response.offer_password_algorithms();
            }
        }
        let bytes = response.finish(requester.key.as_ref());
        if self.may_refuse_signed(now, requester.five_tuple, message, error, bytes.len()) {
            self.transmit(requester, bytes, Err(rejection));
        }
    }

    /// Whether a challenge offers SHA-256. For an unsigned request: if the offer fits into [`Requester::max_len`]. For a signed
    /// request: if its nonce comes from a challenge with an offer.
    fn offers_algorithms(&self, requester: &Requester, message: &Message<'_>) -> bool {
        let was_offered = if message.has_integrity() {
            message.nonce().is_some_and(Nonce::is_offer)
        } else {
            let fingerprint = if message.has_fingerprint() { FINGERPRINT_LEN } else { 0 };
            let realm = self.authenticator.realm().len().next_multiple_of(4);
            OFFER_LEN + realm + fingerprint <= requester.max_len()
        };
        was_offered && self.authenticator.offers_algorithms()
    }

    /// Sends a 420 response with the unsupported attributes.
    pub(crate) fn reject_unknown_attributes(&mut self, requester: &Requester, unknown: &[AttributeType]) {
        let rejection =
            Rejection::UnknownAttributes { first: unknown.first().copied().unwrap_or(AttributeType::DONT_FRAGMENT) };
        let reason = rejection.reason_phrase();
        let response = Response::error(requester.transaction, rejection.error_code())
            .reason(&reason)
            .unknown_attributes(unknown)
            .max_len(requester.max_len());
        self.respond(requester, response, Err(rejection));
    }

    fn respond(&mut self, requester: &Requester, response: Response<'_>, outcome: Result<(), Rejection>) {
        let bytes = response.finish(requester.key.as_ref());
        self.transmit(requester, bytes, outcome);
    }

    fn transmit(&mut self, requester: &Requester, bytes: Vec<u8>, outcome: Result<(), Rejection>) {
        let FiveTuple { client, server } = requester.five_tuple;
        self.outputs.push_back(Output::Transmit { from: server, to: client, bytes });
        self.emit(Event::Responded {
            five_tuple: requester.five_tuple,
            method: requester.transaction.method.number(),
            outcome,
        });
    }
}
