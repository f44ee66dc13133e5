//! The part of a snapshot about Allocate requests without a response yet.

use std::{sync::Arc, time::Duration};

use allocation::{Credential, Owner};
use serde::{Deserialize, Serialize};
use stun_msg::{IntegrityKey, Method, Transaction, TransactionId};
use zeroize::Zeroizing;

use crate::{
    Families, FiveTuple, PortNeed, ShardId, Timestamp,
    borrowings::{Borrow, Borrowing},
    pending_allocation::{Claims, PendingAllocation},
    requester::Requester,
};

#[derive(Serialize, Deserialize)]
struct RequesterSnapshot {
    five_tuple: FiveTuple,
    method: u16,
    transaction_id: [u8; 12],
    fingerprint: bool,
    /// The key, and whether it signs with MESSAGE-INTEGRITY-SHA256.
    key: Option<(Zeroizing<Vec<u8>>, bool)>,
    /// In bytes.
    request_len: u32,
}

impl RequesterSnapshot {
    fn of(requester: &Requester) -> Self {
        let Requester { five_tuple, transaction, key, request_len } = requester;
        let key = key.as_ref().map(|key| (Zeroizing::new(key.as_bytes().to_vec()), key.signs_with_sha256()));
        Self {
            five_tuple: *five_tuple,
            method: transaction.method.number(),
            transaction_id: transaction.id.0,
            fingerprint: transaction.fingerprint,
            key,
            request_len: u32::try_from(*request_len).unwrap_or(u32::MAX),
        }
    }

    /// `None` if the key has an invalid length.
    fn restore(self) -> Option<Requester> {
        let key = match self.key {
            None => None,
            Some((bytes, signs_with_sha256)) => {
                let key = IntegrityKey::from_bytes(&bytes)?;
                Some(if signs_with_sha256 { key.signing_with_sha256() } else { key })
            }
        };
        let transaction = Transaction {
            method: Method::new(self.method),
            id: TransactionId(self.transaction_id),
            fingerprint: self.fingerprint,
        };
        let request_len = usize::try_from(self.request_len).unwrap_or(usize::MAX);
        Some(Requester { five_tuple: self.five_tuple, transaction, key, request_len })
    }
}

/// An allocation that is being opened.
#[derive(Serialize, Deserialize)]
pub(super) struct PendingSnapshot {
    requester: RequesterSnapshot,
    dual_stack: bool,
    claims: Claims,
    opened: Option<Families>,
}

impl PendingSnapshot {
    pub(super) fn of(pending: &PendingAllocation) -> Self {
        let PendingAllocation { requester, dual_stack, claims, opened } = pending;
        Self { requester: RequesterSnapshot::of(requester), dual_stack: *dual_stack, claims: *claims, opened: *opened }
    }

    pub(super) fn restore(self) -> Option<PendingAllocation> {
        let Self { requester, dual_stack, claims, opened } = self;
        Some(PendingAllocation { requester: requester.restore()?, dual_stack, claims, opened })
    }
}

/// An Allocate request that waits for a port of another shard.
#[derive(Serialize, Deserialize)]
pub(super) struct BorrowingSnapshot {
    requester: RequesterSnapshot,
    dual_stack: bool,
    username: String,
    user_id: String,
    key: Zeroizing<Vec<u8>>,
    credential_expires_at: Option<u64>,
    lifetime: Duration,
    families: Families,
    need: PortNeed,
    tried: u8,
    asked: ShardId,
    others_left: u16,
    due: Timestamp,
    give_up_at: Timestamp,
}

impl BorrowingSnapshot {
    pub(super) fn of(borrowing: &Borrowing) -> Self {
        let Borrowing { request, asked, others_left, due, give_up_at } = borrowing;
        let Borrow { requester, dual_stack, owner, lifetime, families, need, tried } = request;
        let Credential { username, user_id, key, expires_at } = owner.credential();
        Self {
            requester: RequesterSnapshot::of(requester),
            dual_stack: *dual_stack,
            username: username.to_owned(),
            user_id: user_id.to_owned(),
            key: Zeroizing::new(key.to_vec()),
            credential_expires_at: expires_at,
            lifetime: *lifetime,
            families: *families,
            need: *need,
            tried: *tried,
            asked: *asked,
            others_left: *others_left,
            due: *due,
            give_up_at: *give_up_at,
        }
    }

    pub(super) fn restore(self) -> Option<Borrowing> {
        let credential = Credential {
            username: &self.username,
            user_id: &self.user_id,
            key: &self.key,
            expires_at: self.credential_expires_at,
        };
        let request = Borrow {
            requester: self.requester.restore()?,
            dual_stack: self.dual_stack,
            owner: Arc::new(Owner::of(&credential)),
            lifetime: self.lifetime,
            families: self.families,
            need: self.need,
            tried: self.tried,
        };
        let Self { asked, others_left, due, give_up_at, .. } = self;
        Some(Borrowing { request, asked, others_left, due, give_up_at })
    }
}
