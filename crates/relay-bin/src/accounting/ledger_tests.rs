//! Tests of the ledger: which counts go to which account, and when an account is finished.

use std::net::SocketAddr;

use relay_server::{Arriving, ChannelNumber, RemovalReason};

use super::*;

pub(super) const SHARDS: [ShardId; 2] = [ShardId::new(0), ShardId::new(1)];

pub(super) const T0: Timestamp = Timestamp::from_secs(100);
pub(super) const DELETED: EndReason = EndReason::Removed(RemovalReason::Deleted);

pub(super) fn traffic(bytes: u64) -> Traffic {
    Traffic { packets: bytes / 100, bytes }
}

pub(super) fn to_peers(bytes: u64) -> Relayed {
    Relayed { to_peers: traffic(bytes), ..Relayed::default() }
}

fn five_tuple(port: u16) -> FiveTuple {
    let client = SocketAddr::from(([198, 51, 100, 7], port));
    FiveTuple { client: client.into(), server: [192, 0, 2, 1].into() }
}

/// Creates an allocation. Its client uses the same port number.
pub(super) fn create(ledger: &mut Ledger, shard: usize, id: u64, port: u16) {
    let created = Created {
        id,
        user_id: format!("user-{id}").into(),
        five_tuple: five_tuple(port),
        port: AllocationPort::new(port),
        families: Families::Only(Family::V4),
        at: T0,
    };
    ledger.created(SHARDS[shard], created);
}

pub(super) fn end(ledger: &mut Ledger, shard: usize, id: u64, bytes: u64) {
    ledger.ended(T0, (SHARDS[shard], id), T0 + Duration::from_secs(1), to_peers(bytes), DELETED);
}

pub(super) fn crossing(from: u16, to: u16) -> Crossing {
    Crossing {
        family: Family::V4,
        from: AllocationPort::new(from),
        to: AllocationPort::new(to),
        five_tuple: five_tuple(to),
        channel: ChannelNumber::MIN,
    }
}

pub(super) fn key(port: u16) -> FlowKey {
    FlowKey { remote: ([203, 0, 113, 1], port).into(), local_port: 3478, carries: Arriving::Bare }
}

pub(super) fn install(ledger: &mut Ledger, flow: u16, from: Option<u16>, to: Option<u16>) {
    ledger.flow_installed(key(flow), from.map(AllocationPort::new), to.map(AllocationPort::new));
}

/// The next finished account: the user, the bytes relayed to and from peers in user space, the same in the kernel, and whether the
/// account is complete.
pub(super) fn next(ledger: &mut Ledger) -> Option<(String, [u64; 4], bool)> {
    let record = ledger.poll_record()?;
    let bytes = |relayed: Relayed| (relayed.to_peers.bytes, relayed.from_peers.bytes);
    let ((up, down), (kernel_up, kernel_down)) = (bytes(record.in_user_space), bytes(record.in_kernel));
    Some((record.user_id.to_string(), [up, down, kernel_up, kernel_down], record.is_complete))
}

pub(super) fn is_empty(ledger: &Ledger) -> bool {
    ledger.accounts.is_empty() && ledger.by_port.is_empty() && ledger.waiting.is_empty()
}

#[test]
fn an_allocation_that_nobody_else_counts_is_told_of_at_once() {
    let mut ledger = Ledger::default();
    create(&mut ledger, 0, 1, 50_000);
    end(&mut ledger, 0, 1, 500);
    let record = ledger.poll_record().unwrap();
    let times = (record.created_at, record.ended_at);
    assert_eq!(
        (times, record.in_user_space, record.reason),
        ((T0, T0 + Duration::from_secs(1)), to_peers(500), DELETED)
    );
    assert!(record.is_complete && is_empty(&ledger));
    end(&mut ledger, 0, 1, 500);
    assert_eq!(next(&mut ledger), None, "nobody has heard of it");
}

#[test]
fn what_another_shard_sends_straight_to_a_client_is_waited_for() {
    let mut ledger = Ledger::default();
    create(&mut ledger, 0, 1, 50_000);
    create(&mut ledger, 1, 1, 60_000);
    ledger.crossing_opened(SHARDS[0], &crossing(50_000, 60_000));
    ledger.so_far(SHARDS[0], vec![(1, to_peers(100))], vec![(crossing(50_000, 60_000), traffic(100))]);
    let living: Vec<_> = ledger.living().map(|(_, totals)| totals.bytes()).collect();
    assert_eq!(living, [100, 100], "for both");
    end(&mut ledger, 1, 1, 0);
    // Its port has a new owner before the other shard knows of the end.
    create(&mut ledger, 1, 2, 60_000);
    assert_eq!(next(&mut ledger), None);
    ledger.crossing_closed(T0, SHARDS[0], &crossing(50_000, 60_000), traffic(300));
    assert_eq!(next(&mut ledger), Some(("user-1".to_owned(), [0, 300, 0, 0], true)));
    end(&mut ledger, 1, 2, 0);
    assert_eq!(next(&mut ledger), Some(("user-2".to_owned(), [0, 0, 0, 0], true)));
}

#[test]
fn the_kernels_flows_count_for_who_sends_and_for_who_receives() {
    let mut ledger = Ledger::default();
    create(&mut ledger, 0, 1, 50_000);
    create(&mut ledger, 1, 2, 60_000);
    install(&mut ledger, 1, Some(50_000), None);
    install(&mut ledger, 2, None, Some(50_000));
    install(&mut ledger, 3, Some(50_000), Some(60_000));
    ledger.flow_counted(&key(1), traffic(1_000));
    ledger.flow_counted(&key(1), traffic(1_500));
    let [one, ..] = ledger.living().map(|(_, totals)| totals).collect::<Vec<_>>()[..] else { panic!("two live") };
    assert_eq!(one.in_kernel, to_peers(1_500));
    ledger.flow_removed(T0, &key(1), traffic(2_000));
    ledger.flow_removed(T0, &key(2), traffic(700));
    end(&mut ledger, 1, 2, 0);
    assert_eq!(next(&mut ledger), None, "the flow from the other client is there");
    ledger.flow_removed(T0, &key(3), traffic(30));
    assert_eq!(next(&mut ledger), Some(("user-2".to_owned(), [0, 0, 0, 30], true)));
    end(&mut ledger, 0, 1, 100);
    assert_eq!(next(&mut ledger), Some(("user-1".to_owned(), [100, 0, 2_030, 700], true)));
    assert!(is_empty(&ledger) && ledger.flows().is_empty());
}

#[test]
fn a_shard_that_tells_nothing_is_not_waited_for_for_ever() {
    let mut ledger = Ledger::default();
    create(&mut ledger, 1, 1, 60_000);
    ledger.crossing_opened(SHARDS[0], &crossing(50_000, 60_000));
    end(&mut ledger, 1, 1, 0);
    let due = ledger.poll_timeout().unwrap();
    assert_eq!(due, T0 + PATIENCE);
    ledger.handle_timeout(due);
    assert_eq!(next(&mut ledger), Some(("user-1".to_owned(), [0; 4], false)));
    assert!(is_empty(&ledger));
}

#[test]
fn all_are_told_of_at_the_end() {
    let mut ledger = Ledger::default();
    create(&mut ledger, 0, 1, 50_000);
    create(&mut ledger, 1, 2, 60_000);
    ledger.ended(T0, (SHARDS[0], 1), T0, to_peers(100), EndReason::Shutdown);
    ledger.finish(T0);
    assert_eq!(next(&mut ledger), Some(("user-1".to_owned(), [100, 0, 0, 0], true)));
    assert_eq!(next(&mut ledger), Some(("user-2".to_owned(), [0; 4], false)));
    assert!(is_empty(&ledger));
}
