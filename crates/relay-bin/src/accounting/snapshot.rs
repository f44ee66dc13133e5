//! What accounting hands to the next process.

use std::sync::Arc;

use relay_server::{AllocationPort, Families, FiveTuple, Relayed, Timestamp, Traffic};
use serde::{Deserialize, Serialize};

use super::{
    keys::{CrossingKey, Key},
    users::UsersSnapshot,
};

/// The unfinished accounts and the totals of users.
///
/// Its times are on the clock of the process that exported it. The next process must continue that clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccountingSnapshot {
    pub(super) ledger: LedgerSnapshot,
    pub(super) users: UsersSnapshot,
}

/// The accounts of a ledger, and the crossings that are counted for them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LedgerSnapshot {
    pub(super) accounts: Vec<(Key, AccountSnapshot)>,
    pub(super) crossings: Vec<CrossingSnapshot>,
    /// The accounts of ended allocations, and until when each waits for its crossings.
    pub(super) waiting: Vec<(Timestamp, Key)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AccountSnapshot {
    pub(super) user_id: Arc<str>,
    pub(super) five_tuple: FiveTuple,
    pub(super) port: AllocationPort,
    pub(super) families: Families,
    pub(super) created_at: Timestamp,
    pub(super) relayed: Relayed,
    pub(super) crossed: Traffic,
    pub(super) in_kernel: Relayed,
    /// When the allocation ended, and the name of the reason.
    pub(super) end: Option<(Timestamp, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CrossingSnapshot {
    pub(super) key: CrossingKey,
    /// The allocation of the receiving client.
    pub(super) to: Option<Key>,
    /// What was added to its account so far.
    pub(super) counted: Traffic,
}
