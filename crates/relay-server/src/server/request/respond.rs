use stun_msg::{AddressError, AllocateSuccess, AttributeType, ErrorCode, Message, Response};
use turn_auth::AuthError;

use crate::{
    AddressStatus, AllocationId, Event, Family, FiveTuple, Output, Rejection, Server, Timestamp, family,
    requester::Asker,
};

impl Server {
    pub(crate) fn succeed(&mut self, asker: &Asker, response: Response<'_>) {
        self.respond(asker, response, Ok(()));
    }

    /// Tells the client of its allocation: the same words again when the request is retransmitted.
    pub(crate) fn answer_allocate(&mut self, asker: &Asker, id: AllocationId, dual_stack: bool) {
        let Some(allocation) = self.allocations.get(id) else {
            return;
        };
        let granted = allocation.families();
        let port = allocation.port();
        let missing = Family::ALL.into_iter().find(|family| dual_stack && !granted.contains(*family));
        let response = Response::allocate_success(
            asker.transaction,
            AllocateSuccess {
                relayed_v4: self.config.relay_addresses.socket_v4(port).filter(|_| granted.contains(Family::V4)),
                relayed_v6: self.config.relay_addresses.socket_v6(port).filter(|_| granted.contains(Family::V6)),
                mapped: asker.five_tuple.client.address(),
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
        self.respond(asker, response, Ok(()));
    }

    /// Refuses a request for a reason that has nothing to do with attributes it does not know.
    pub(crate) fn reject(&mut self, asker: &Asker, rejection: Rejection) {
        let reason = rejection.reason_phrase();
        let response = Response::error(asker.transaction, rejection.error_code()).reason(&reason);
        self.respond(asker, response, Err(rejection));
    }

    /// Refuses a request that is not authenticated (401, 438, and the 400 for half of the credentials).
    pub(crate) fn challenge(&mut self, now: Timestamp, asker: &Asker, message: &Message<'_>, error: AuthError) {
        let rejection = Rejection::from(error);
        let nonce = self.authenticator.nonce(self.unix_time(now), asker.five_tuple.client.address());
        let reason = rejection.reason_phrase();
        let mut response =
            Response::error(asker.transaction, rejection.error_code()).reason(&reason).max_len(asker.max_len());
        if error.needs_challenge() {
            response = response.challenge(self.authenticator.realm(), nonce.as_bytes());
        }
        let bytes = response.finish(asker.key.as_ref());
        if self.may_refuse_signed(now, asker.five_tuple, message, error, bytes.len()) {
            self.transmit(asker, bytes, Err(rejection));
        }
    }

    /// 420, with the attributes that are not supported.
    pub(crate) fn reject_unknown_attributes(&mut self, asker: &Asker, unknown: &[AttributeType]) {
        let rejection =
            Rejection::UnknownAttributes { first: unknown.first().copied().unwrap_or(AttributeType::DONT_FRAGMENT) };
        let reason = rejection.reason_phrase();
        let response = Response::error(asker.transaction, rejection.error_code())
            .reason(&reason)
            .unknown_attributes(unknown)
            .max_len(asker.max_len());
        self.respond(asker, response, Err(rejection));
    }

    fn respond(&mut self, asker: &Asker, response: Response<'_>, outcome: Result<(), Rejection>) {
        let bytes = response.finish(asker.key.as_ref());
        self.transmit(asker, bytes, outcome);
    }

    fn transmit(&mut self, asker: &Asker, bytes: Vec<u8>, outcome: Result<(), Rejection>) {
        let FiveTuple { client, server } = asker.five_tuple;
        self.outputs.push_back(Output::Transmit { from: server, to: client, bytes });
        self.emit(Event::Responded {
            five_tuple: asker.five_tuple,
            method: asker.transaction.method.number(),
            outcome,
        });
    }
}
