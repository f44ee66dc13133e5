//! Applies the limit on replies to senders that have shown no credentials.

use stun_msg::{Message, Method};
use turn_auth::AuthError;

use crate::{Event, FiveTuple, ReplyKind, Server, Timestamp};

impl Server {
    /// Whether `message` may get a reply, as far as that is known before its credentials are checked. Always true for a signed
    /// message other than Binding.
    pub(super) fn may_reply_unsigned(&mut self, now: Timestamp, from: FiveTuple, message: &Message<'_>) -> bool {
        if message.method() == Method::BINDING {
            return self.may_answer_binding(now, from);
        }
        let Some(replies) = self.replies.as_mut().filter(|_| !message.has_integrity()) else { return true };
        let may = replies.take(now, from.client.address().ip(), ReplyKind::Challenge);
        self.note_reply(from, ReplyKind::Challenge, may)
    }

    /// Whether a Binding request may be answered.
    pub(super) fn may_answer_binding(&mut self, now: Timestamp, from: FiveTuple) -> bool {
        let Some(replies) = &mut self.replies else { return true };
        // A client with an allocation is no stranger. It sends Binding requests to keep its NAT mapping.
        if self.allocations.by_five_tuple(&from).is_some() {
            return true;
        }
        let may = replies.take(now, from.client.address().ip(), ReplyKind::Binding);
        self.note_reply(from, ReplyKind::Binding, may)
    }

    /// Whether a signed request that failed authentication may get an error response of `len` bytes.
    pub(super) fn may_refuse_signed(
        &mut self,
        now: Timestamp,
        from: FiveTuple,
        message: &Message<'_>,
        error: AuthError,
        len: usize,
    ) -> bool {
        // Unsigned requests were counted in `may_reply_unsigned`.
        if !message.has_integrity() || error == AuthError::StaleNonce {
            return true;
        }
        let (client, unix_time) = (from.client.address().ip(), self.unix_time(now));
        let kind = ReplyKind::Challenge;
        let Some(replies) = &mut self.replies else { return true };
        let may = if len <= message.as_bytes().len() {
            replies.take_from_address(now, client, kind)
        } else {
            replies.take(now, client, kind)
        };
        let authenticator = &self.authenticator;
        let has_shown_nonce =
            || message.nonce().is_some_and(|nonce| authenticator.recognises_nonce(nonce, unix_time, client));
        let may = may || replies.take_proven(now, client, has_shown_nonce);
        self.note_reply(from, kind, may)
    }

    /// Stops counting the challenge that an authenticated Allocate request has answered.
    pub(super) fn note_authenticated(&mut self, now: Timestamp, from: FiveTuple, message: &Message<'_>) {
        if message.method() == Method::ALLOCATE
            && let Some(replies) = &mut self.replies
        {
            replies.give_back(now, from.client.address().ip());
        }
    }

    fn note_reply(&mut self, from: FiveTuple, kind: ReplyKind, may: bool) -> bool {
        if !may {
            self.emit(Event::ReplyWithheld { to: from.client.address(), kind });
        }
        may
    }
}
