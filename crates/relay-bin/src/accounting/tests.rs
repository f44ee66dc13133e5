//! The accounting thread around a handover to the next process.

use std::net::SocketAddr;

use relay_server::{
    AllocationPort, ChannelNumber, Crossing, Families, Family, FiveTuple, Relayed, RemovalReason, Traffic,
};
use serde_json::Value;

use super::{
    event::{Created, EndReason},
    keys::Key,
    *,
};
use crate::output::Output;

const SHARDS: [ShardId; 2] = [ShardId::new(0), ShardId::new(1)];
const T0: Timestamp = Timestamp::from_secs(100);
const ADDRESSES: RelayAddresses = RelayAddresses { v4: None, v6: None };

fn accountant(inherited: Option<AccountingSnapshot>) -> Accountant {
    let log = Output::start().unwrap().stderr;
    Accountant::new(Clock::start(), ADDRESSES, log, None, None, Faults::default(), inherited)
}

/// The accountant after all of `events`, which end with one that ends it.
fn after(mut accountant: Accountant, events: Vec<AccountingEvent>) -> Accountant {
    let (sender, receiver) = queue::queue();
    assert!(sender.send(events));
    accountant.run(&receiver);
    accountant
}

fn five_tuple() -> FiveTuple {
    FiveTuple { client: SocketAddr::from(([198, 51, 100, 7], 5_000)).into(), server: [192, 0, 2, 1].into() }
}

fn created((shard, id): Key) -> AccountingEvent {
    let created = Created {
        id,
        user_id: "alice".into(),
        five_tuple: five_tuple(),
        port: AllocationPort::new(60_000),
        families: Families::Only(Family::V4),
        at: T0,
    };
    AccountingEvent::Created(shard, created)
}

fn ended(key: Key, bytes: u64) -> AccountingEvent {
    let relayed = Relayed { to_peers: Traffic { packets: 1, bytes }, ..Relayed::default() };
    AccountingEvent::Ended { key, at: T0, relayed, reason: EndReason::Removed(RemovalReason::Deleted) }
}

fn crossing() -> Crossing {
    Crossing {
        family: Family::V4,
        from: AllocationPort::new(50_000),
        to: AllocationPort::new(60_000),
        five_tuple: five_tuple(),
        channel: ChannelNumber::MIN,
    }
}

fn export() -> (AccountingEvent, oneshot::Receiver<AccountingSnapshot>) {
    let (answer, answered) = oneshot::channel();
    (AccountingEvent::Export(answer), answered)
}

/// The number of finished accounts, and the bytes in them.
fn told(accountant: &Accountant) -> (u64, u64) {
    let totals = || accountant.users.iter().map(|(_, totals)| *totals);
    (totals().map(|totals| totals.allocations).sum(), totals().map(|totals| totals.bytes()).sum())
}

#[test]
fn of_two_processes_one_finishes_an_account() {
    let key = (SHARDS[0], 1);
    let (asked, mut exported) = export();
    let old = after(accountant(None), vec![created(key), asked, AccountingEvent::Abandon]);
    assert_eq!((told(&old), old.ledger.living().count()), ((0, 0), 1));

    let bytes = postcard::to_allocvec(&exported.try_recv().unwrap()).unwrap();
    let inherited = postcard::from_bytes(&bytes).unwrap();
    let new = after(accountant(Some(inherited)), vec![ended(key, 70), AccountingEvent::Finish]);
    assert_eq!((told(&new), new.ledger.living().count()), ((1, 70), 0));
}

#[test]
fn the_format_is_that_of_the_version_of_the_figures() {
    let (asked, mut exported) = export();
    let keys = [(SHARDS[1], 1), (SHARDS[1], 2), (SHARDS[0], 3)];
    let opened = AccountingEvent::CrossingOpened(SHARDS[0], crossing());
    let mut accountant = accountant(None);
    for event in [created(keys[2]), ended(keys[2], 300), created(keys[0]), opened] {
        accountant.ledger.note(T0, event);
        accountant.tell_all();
    }
    accountant.ledger.note(T0, ended(keys[0], 70));
    accountant.ledger.note(T0, created(keys[1]));
    accountant.take(asked);
    let snapshot = exported.try_recv().unwrap();
    let bytes = postcard::to_allocvec(&snapshot).unwrap();
    let version_1 = concat!(
        "02010105616c69636500c633640788270000c0000201e0d403000080d0dbc3f402014600000000000000000180d0dbc3f402",
        "0764656c65746564010205616c69636500c633640788270000c0000201e0d403000080d0dbc3f40200000000000000000000",
        "00010000d08603e0d40301010100000180b4f393870301010105616c6963650101ac02000000000000000000000000000000",
        "00",
    );
    assert_eq!(hex::encode(&bytes), version_1, "raise the version in handover/figures.rs");
    assert_eq!(postcard::from_bytes::<AccountingSnapshot>(&bytes).unwrap(), snapshot);
}

#[test]
fn totals_of_users_go_on() {
    let keys = [(SHARDS[0], 1), (SHARDS[0], 2)];
    let (asked, mut exported) = export();
    after(accountant(None), vec![created(keys[0]), ended(keys[0], 70), asked, AccountingEvent::Abandon]);
    let next = vec![created(keys[1]), ended(keys[1], 5), AccountingEvent::Finish];
    assert_eq!(told(&after(accountant(exported.try_recv().ok()), next)), (2, 75));
}

#[test]
fn after_a_failed_handover_accounts_are_finished_as_before() {
    let key = (SHARDS[0], 1);
    let (asked, _exported) = export();
    let events = vec![created(key), asked, ended(key, 70), AccountingEvent::Finish];
    assert_eq!(told(&after(accountant(None), events)), (1, 70));
    let (asked, _exported) = export();
    let cut_off = after(accountant(None), vec![created(key), asked, AccountingEvent::Finish]);
    assert_eq!(told(&cut_off), (1, 0), "the relay stops before another process has taken over");
}

#[test]
fn after_an_export_no_account_is_finished_until_a_shard_goes_on() {
    let key = (SHARDS[1], 1);
    let mut accountant = accountant(None);
    let opened = AccountingEvent::CrossingOpened(SHARDS[0], crossing());
    [created(key), opened, ended(key, 0)].into_iter().for_each(|event| accountant.take(event));
    let due = accountant.poll_timeout();
    assert!(due.is_some(), "the crossing is waited for");

    let (asked, exported) = export();
    drop(exported);
    accountant.take(asked);
    assert_eq!(accountant.poll_timeout(), due, "no other process has the books");

    let (asked, _exported) = export();
    accountant.take(asked);
    assert_eq!(accountant.poll_timeout(), None);
    accountant.do_what_is_due(due.unwrap());
    assert_eq!(told(&accountant), (0, 0));

    accountant.take(created((SHARDS[0], 2)));
    assert_eq!(accountant.poll_timeout(), due);
    accountant.do_what_is_due(due.unwrap());
    assert_eq!(told(&accountant), (1, 0));
}

#[tokio::test]
async fn the_books_have_all_that_was_sent_before() {
    let log = Output::start().unwrap().stderr;
    let start = |inherited| {
        Accounting::start(Clock::start(), ADDRESSES, Arc::clone(&log), None, None, Faults::default(), inherited)
            .unwrap()
    };
    let old = start(None);
    let events = old.events.clone();
    assert!(events.send(vec![created((SHARDS[0], 1))]));
    let exported = old.export().await.unwrap();
    old.abandon();
    assert!(!events.send(Vec::new()), "the thread has ended");

    let new = start(Some(exported.clone()));
    assert_eq!(new.export().await.unwrap(), exported);
    let totals: Value = serde_json::from_str(&new.user_totals().top(1).await.unwrap()).unwrap();
    assert_eq!(
        (&totals["users"][0]["user_id"], &totals["users"][0]["living_allocations"]),
        (&"alice".into(), &1.into())
    );
    new.abandon();
}

#[test]
fn the_ids_of_a_shard_go_on_after_its_panics() {
    let (events, _receiver) = queue::queue();
    let mut old = AccountingSender::new(SHARDS[0], events.clone());
    assert_eq!(AccountingSender::new(SHARDS[0], events.clone()).life(), old.life());
    old.start_again();
    let mut new = AccountingSender::new(SHARDS[0], events).with_life(old.life());
    assert_eq!(new.life(), old.life());
    let life = old.life();
    [&mut old, &mut new].into_iter().for_each(AccountingSender::start_again);
    assert_ne!(old.life(), life);
    assert_eq!(new.life(), old.life());
}
