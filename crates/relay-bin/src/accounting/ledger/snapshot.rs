//! The ledger as a value, which one process hands to the next.
//!
//! It does not contain flows: a process removes its flows from the kernel before it exports the ledger, and the next process installs its own.
//! So the number of open ways of an account is that of its crossings.

use std::sync::Arc;

use super::{Account, Counted, Ledger, Way};
use crate::accounting::{
    event::EndReason,
    snapshot::{AccountSnapshot, CrossingSnapshot, LedgerSnapshot},
};

impl AccountSnapshot {
    fn of(account: &Account) -> Self {
        let Account { user_id, five_tuple, port, families, created_at, counted: _ } = account;
        // Open ways are counted anew.
        let Counted { relayed, crossed, in_kernel, open_ways: _, end } = account.counted();
        Self {
            user_id: Arc::clone(user_id),
            five_tuple: *five_tuple,
            port: *port,
            families: *families,
            created_at: *created_at,
            relayed,
            crossed,
            in_kernel,
            end: end.map(|(at, reason)| (at, reason.name().to_owned())),
        }
    }

    fn into_account(self) -> Account {
        let Self { user_id, five_tuple, port, families, created_at, relayed, crossed, in_kernel, end } = self;
        // Only the process before this one knows the other reasons, and it has stopped.
        let end = end.map(|(at, reason)| (at, EndReason::named(&reason).unwrap_or(EndReason::Shutdown)));
        let counted = Counted { relayed, crossed, in_kernel, open_ways: 0, end };
        let counted = (counted != Counted::default()).then(|| Box::new(counted));
        Account { user_id, five_tuple, port, families, created_at, counted }
    }
}

impl Ledger {
    /// All unfinished accounts, with the crossings that are counted for them.
    pub(in crate::accounting) fn export(&self) -> LedgerSnapshot {
        let accounts = self.accounts.iter().map(|(key, account)| (*key, AccountSnapshot::of(account)));
        let crossings = self.crossings.iter().map(|(key, way)| {
            let Way { from: _, to, counted } = *way;
            CrossingSnapshot { key: *key, to, counted }
        });
        LedgerSnapshot {
            accounts: accounts.collect(),
            crossings: crossings.collect(),
            waiting: self.waiting.iter().copied().collect(),
        }
    }

    /// The ledger that `snapshot` was exported from.
    pub(in crate::accounting) fn inherited(snapshot: LedgerSnapshot) -> Self {
        let LedgerSnapshot { accounts, crossings, waiting } = snapshot;
        let mut ledger = Self::default();
        for (key, account) in accounts {
            let account = account.into_account();
            // A new allocation may have the port of an ended one.
            if account.counted().end.is_none() {
                ledger.by_port.insert(account.port, key);
            }
            ledger.accounts.insert(key, Box::new(account));
        }
        for CrossingSnapshot { key, to, counted } in crossings {
            ledger.crossings.insert(key, Way { from: None, to, counted });
            ledger.count_ways(to, 1);
        }
        ledger.waiting.extend(waiting);
        ledger
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::accounting::ledger::tests::{
        DELETED, SHARDS, T0, create, crossing, end, install, is_empty, key, next, to_peers, traffic,
    };

    /// The ledger of the next process.
    fn handed_over(ledger: &Ledger) -> Ledger {
        let bytes = postcard::to_allocvec(&ledger.export()).unwrap();
        let copy = Ledger::inherited(postcard::from_bytes(&bytes).unwrap());
        assert_eq!(copy.export(), ledger.export());
        copy
    }

    #[test]
    fn an_allocation_of_two_processes_has_one_record_with_all_it_has_relayed() {
        let mut old = Ledger::default();
        create(&mut old, 0, 1, 50_000);
        create(&mut old, 1, 1, 60_000);
        old.crossing_opened(SHARDS[0], &crossing(50_000, 60_000));
        old.so_far(SHARDS[0], vec![(1, to_peers(100))], vec![(crossing(50_000, 60_000), traffic(100))]);
        install(&mut old, 1, Some(50_000), None);
        old.flow_removed(T0, &key(1), traffic(1_000));

        let mut new = handed_over(&old);
        install(&mut new, 1, Some(50_000), None);
        new.flow_removed(T0, &key(1), traffic(500));
        end(&mut new, 0, 1, 300);
        assert_eq!(next(&mut new), Some(("user-1".to_owned(), [300, 0, 1_500, 0], true)));
        end(&mut new, 1, 1, 0);
        assert_eq!(next(&mut new), None, "the crossing is open");
        // The shard's count goes on where it was in the old process.
        new.crossing_closed(T0, SHARDS[0], &crossing(50_000, 60_000), traffic(300));
        assert_eq!(next(&mut new), Some(("user-1".to_owned(), [0, 300, 0, 0], true)));
        assert!(is_empty(&new) && new.crossings.is_empty());
    }

    #[test]
    fn times_and_reason_of_an_allocation_that_has_ended_are_kept_and_it_is_waited_for_as_long() {
        let mut old = Ledger::default();
        create(&mut old, 1, 1, 60_000);
        old.crossing_opened(SHARDS[0], &crossing(50_000, 60_000));
        end(&mut old, 1, 1, 200);
        // Its port has another owner.
        create(&mut old, 1, 2, 60_000);

        let mut new = handed_over(&old);
        install(&mut new, 1, Some(60_000), None);
        assert_eq!(new.poll_timeout(), old.poll_timeout());
        new.handle_timeout(old.poll_timeout().unwrap());
        let record = new.poll_record().unwrap();
        assert_eq!((record.created_at, record.ended_at), (T0, T0 + Duration::from_secs(1)));
        assert_eq!((record.in_user_space, record.reason, record.is_complete), (to_peers(200), DELETED, false));
        new.flow_removed(T0, &key(1), traffic(70));
        end(&mut new, 1, 2, 0);
        assert_eq!(next(&mut new), Some(("user-2".to_owned(), [0, 0, 70, 0], true)), "the flow is the new owner's");
        assert!(is_empty(&new));
    }

    #[test]
    fn an_allocation_that_begins_after_the_handover_gets_the_crossings_that_begin_then() {
        let mut new = handed_over(&Ledger::default());
        create(&mut new, 1, 1, 60_000);
        new.crossing_opened(SHARDS[0], &crossing(50_000, 60_000));
        new.crossing_closed(T0, SHARDS[0], &crossing(50_000, 60_000), traffic(5));
        end(&mut new, 1, 1, 0);
        assert_eq!(next(&mut new), Some(("user-1".to_owned(), [0, 5, 0, 0], true)));
    }

    #[test]
    fn flows_that_are_still_installed_are_not_waited_for() {
        let mut old = Ledger::default();
        create(&mut old, 0, 1, 50_000);
        install(&mut old, 1, Some(50_000), None);
        old.flow_counted(&key(1), traffic(40));
        let mut new = handed_over(&old);
        end(&mut new, 0, 1, 0);
        assert_eq!(next(&mut new), Some(("user-1".to_owned(), [0, 0, 40, 0], true)));
    }

    #[test]
    fn a_reason_that_this_build_does_not_know_does_not_cost_the_account() {
        let mut old = Ledger::default();
        create(&mut old, 0, 1, 50_000);
        install(&mut old, 1, Some(50_000), None);
        end(&mut old, 0, 1, 0);
        let mut snapshot = old.export();
        snapshot.accounts[0].1.end = Some((T0, "reason_of_tomorrow".to_owned()));
        let mut new = Ledger::inherited(snapshot);
        new.handle_timeout(new.poll_timeout().unwrap());
        assert_eq!(new.poll_record().map(|record| record.reason), Some(EndReason::Shutdown));
    }
}
