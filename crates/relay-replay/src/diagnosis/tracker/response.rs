//! Answers to requests.

use packet_trace::UdpPacket;
use stun_msg::Method;

use super::{Seen, Tracker, about, is_turn, method, text, transaction};
use crate::{
    Change, Flags, Kind, Outcome,
    diagnosis::{
        cause,
        failure::{Failure, What},
        report::ProblemKind,
    },
    dissect,
    explain::{self, About},
    timeline::Timeline,
};

/// The attribute that asks for an answer from another address
/// ([RFC 5780, section 7.2](https://www.rfc-editor.org/rfc/rfc5780#section-7.2)).
const CHANGE_REQUEST: u16 = 0x0003;

impl Tracker {
    pub(super) fn response(&mut self, timeline: &Timeline, seen: Seen<'_>, udp: &UdpPacket<'_>) {
        let message = udp.payload;
        let (Some(method), Some(transaction)) = (method(message), transaction(message)) else { return };
        let Some(server) = self.requests.server(udp.destination, transaction, udp.source) else {
            return self.response_alone(timeline, seen, udp, method);
        };
        let Some(request) = self.requests.get_mut(&(udp.destination, transaction, server)) else { return };
        if request.answered_at.is_some() || request.method != method {
            return;
        }
        request.answered_at = Some(seen.moment.at);
        let asked = std::mem::take(&mut request.message);
        let (peers, is_deletion, row, replayed) =
            (std::mem::take(&mut request.peers), request.is_deletion, request.row, request.outcome);
        let is_elsewhere = server != udp.source && !dissect::types(&asked).any(|number| number == CHANGE_REQUEST);
        let client = self.client(udp.destination, server, seen.moment.at);
        if let Some(software) = dissect::find(message, dissect::SOFTWARE) {
            client.software = text(software);
        }
        if is_elsewhere {
            let explanation = cause::answered_elsewhere(server, udp.source);
            let what = What::Request(method);
            return client.fail(Failure::new(ProblemKind::AnsweredElsewhere, what, seen.moment, explanation));
        }
        if seen.row.kind == Kind::Success {
            return client.granted(method, &peers, seen.moment.at);
        }
        let peer = timeline.endpoints.get(row.peer).map(|endpoint| endpoint.address);
        let about =
            About { row: seen.row, other: Some(&row), message: &asked, peer, channels_only: timeline.channels_only };
        let refusal = refusal(seen, message, method, replayed, &about).about(peers);
        if refusal.kind == ProblemKind::Challenged {
            client.challenged(method, refusal);
        } else {
            client.refused(method, is_deletion, refusal);
        }
    }

    /// An answer to a request that is not in the capture.
    fn response_alone(&mut self, timeline: &Timeline, seen: Seen<'_>, udp: &UdpPacket<'_>, method: Method) {
        // Peers answer one another's connectivity checks.
        if !is_turn(method) {
            return;
        }
        self.capture.answers_alone += 1;
        let client = self.client(udp.destination, udp.source, seen.moment.at);
        if seen.row.kind == Kind::Success {
            return client.granted(method, &[], seen.moment.at);
        }
        let refusal = refusal(seen, udp.payload, method, None, &about(timeline, seen, &[]));
        if refusal.kind == ProblemKind::Challenged {
            client.challenged(method, refusal);
        } else {
            client.refused(method, false, refusal);
        }
    }
}

/// The failure that the error response in `message` reports. `about` describes the request, `replayed` is the replayed relay's decision.
fn refusal(seen: Seen<'_>, message: &[u8], method: Method, replayed: Option<Outcome>, about: &About<'_>) -> Failure {
    let code = seen.row.argument;
    let outcome = match replayed {
        Some(outcome @ Outcome::Rejected(_)) if outcome.error_code() == Some(code) => outcome,
        _ if code == 401 && !dissect::is_signed(about.message) => Outcome::Challenged,
        _ => Outcome::Refused(code),
    };
    let is_challenge = outcome == Outcome::Challenged || code == 438;
    let kind = if is_challenge { ProblemKind::Challenged } else { ProblemKind::Refused };
    let change = Change::Responded { method: method.number(), outcome };
    let explanation = explain::change(&change, about).filter(|_| code != 0).unwrap_or_else(cause::code_cut_off);
    let value = dissect::find(message, dissect::ERROR_CODE).unwrap_or_default();
    let reason = text(value.get(4..).unwrap_or_default());
    let failure = Failure::new(kind, What::Request(method), seen.moment, explanation);
    let is_cut = code == 0 && seen.row.flags.contains(Flags::TRUNCATED);
    if is_cut { failure } else { failure.with_code(code, reason) }
}
