//! The client that a response goes to.

use stun_msg::{IntegrityKey, Message, Transaction};

use crate::FiveTuple;

/// A response to a stranger is at most this many times as long as the request, so that a forged source address gains little.
const MAX_AMPLIFICATION: usize = 2;

/// The receiver of a response, and the parts of the request that the response needs.
#[derive(Clone, Debug)]
pub(crate) struct Requester {
    pub(crate) five_tuple: FiveTuple,
    pub(crate) transaction: Transaction,
    /// Set once the request is authenticated. The response is signed with the same key.
    pub(crate) key: Option<IntegrityKey>,
    pub(crate) request_len: usize,
}

impl Requester {
    pub(crate) const fn new(five_tuple: FiveTuple, message: &Message<'_>) -> Self {
        Self { five_tuple, transaction: message.transaction(), key: None, request_len: message.as_bytes().len() }
    }

    /// The longest error response, in bytes. A longer one is sent without its reason phrase.
    pub(crate) const fn max_len(&self) -> usize {
        match self.key {
            Some(_) => usize::MAX,
            None => self.request_len.saturating_mul(MAX_AMPLIFICATION),
        }
    }
}
