//! Who asked.

use stun_msg::{IntegrityKey, Message, Transaction};

use crate::FiveTuple;

/// An answer to a stranger is at most this many times as long as the request, so that a forged source address gains little.
const MAX_AMPLIFICATION: usize = 2;

/// Who a response goes to, and what it takes over from the request.
#[derive(Clone, Debug)]
pub(crate) struct Requester {
    pub(crate) five_tuple: FiveTuple,
    pub(crate) transaction: Transaction,
    /// Set once the request is authenticated: the response is signed with the client's own credentials.
    pub(crate) key: Option<IntegrityKey>,
    pub(crate) request_len: usize,
}

impl Requester {
    pub(crate) const fn new(five_tuple: FiveTuple, message: &Message<'_>) -> Self {
        Self { five_tuple, transaction: message.transaction(), key: None, request_len: message.as_bytes().len() }
    }

    /// How long an error may be before its reason phrase is left out.
    pub(crate) const fn max_len(&self) -> usize {
        match self.key {
            Some(_) => usize::MAX,
            None => self.request_len.saturating_mul(MAX_AMPLIFICATION),
        }
    }
}
