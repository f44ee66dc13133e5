//! Handles Binding requests.

use stun_msg::{ClassicBinding, Method, Response};

use crate::{DropReason, Event, FiveTuple, Output, Server, Timestamp, requester::Requester};

impl Server {
    /// [RFC 8489, section 6.3.1.1](https://www.rfc-editor.org/rfc/rfc8489#section-6.3.1.1): responds with the client's address.
    pub(crate) fn handle_binding(&mut self, requester: &Requester) {
        self.succeed(
            requester,
            Response::binding_success(requester.transaction, requester.five_tuple.client.address()),
        );
    }

    /// [RFC 5389, section 12.2](https://www.rfc-editor.org/rfc/rfc5389#section-12.2): an RFC 3489 client gets an RFC 3489 response.
    pub(crate) fn handle_classic_binding(&mut self, now: Timestamp, from: FiveTuple, request: ClassicBinding) {
        if !self.can_answer(from) {
            return self.drop_from_client(from, DropReason::ImpossibleSource);
        }
        if !self.may_answer_binding(now, from) {
            return;
        }
        let bytes = request.response(from.client.address());
        self.outputs.push_back(Output::Transmit { from: from.server, to: from.client, bytes });
        self.emit(Event::Responded { five_tuple: from, method: Method::BINDING.number(), outcome: Ok(()) });
    }
}
