use std::time::Duration;

use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::{
    Allocations, Limits, NewAllocation, PortNeed, PortRequest,
    testing::{T0, five_tuple, number, peer, request},
};

const PORTS: (u16, u16) = (49_152, 49_171);

/// Allocations of every kind, with ports in every place that there is.
fn busy() -> Allocations {
    let ports = PortRange::try_from(PORTS).unwrap();
    let mut allocations = Allocations::new(ports, [1; 32]).with_ports_of_all_shards(PortRange::DYNAMIC);
    for (client, port) in [PortRequest::Any, PortRequest::Even, PortRequest::EvenAndReserveNext].into_iter().enumerate()
    {
        let new = NewAllocation { families: Families::Both, ..request(u16::try_from(client).unwrap(), port) };
        let id = allocations.allocate(T0, new).unwrap().id();
        for both in 0..10 {
            allocations.bind_channel(T0, id, number(both), peer(both)).unwrap();
        }
        allocations.permit(T0, id, &[peer(0), peer(1)].map(|peer| peer.address().ip()).into()).unwrap();
    }
    allocations.lend(T0, PortNeed::Pair).unwrap();
    let held = allocations.allocate(T0, request(9, PortRequest::Any)).unwrap().id();
    allocations.retry_port(T0, held).unwrap();
    let gone = allocations.allocate(T0, request(10, PortRequest::Any)).unwrap().id();
    allocations.remove(gone);
    allocations.wait(T0 + Duration::from_secs(7), 3);
    allocations
}

fn bytes(snapshot: &AllocationsSnapshot) -> Vec<u8> {
    postcard::to_allocvec(snapshot).unwrap()
}

fn decode(bytes: &[u8]) -> AllocationsSnapshot {
    postcard::from_bytes(bytes).unwrap()
}

/// What restoring `busy`'s snapshot says after `change`.
fn restored_after(change: impl FnOnce(&mut AllocationsSnapshot)) -> Result<(), SnapshotError> {
    let mut snapshot = busy().snapshot();
    change(&mut snapshot);
    snapshot.restore(Limits::default()).map(|restored| restored.assert_consistent())
}

#[test]
fn what_is_restored_has_the_same_snapshot() {
    let original = busy();
    original.assert_consistent();
    let first = bytes(&original.snapshot());
    let restored = decode(&first).restore(Limits::default()).unwrap();
    restored.assert_consistent();
    assert_eq!(bytes(&restored.snapshot()), first);
    assert_eq!((restored.len(), restored.poll_timeout()), (original.len(), original.poll_timeout()));
}

#[test]
fn a_link_local_client_keeps_its_scope() {
    let mut original = Allocations::new(PortRange::DYNAMIC, [1; 32]);
    let client = std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 5000, 0, 3);
    let tuple = FiveTuple { client: std::net::SocketAddr::V6(client).into(), server: "fe80::2".parse().unwrap() };
    original.allocate(T0, NewAllocation { five_tuple: tuple, ..request(1, PortRequest::Any) }).unwrap();
    let restored = decode(&bytes(&original.snapshot())).restore(Limits::default()).unwrap();
    assert!(restored.by_five_tuple(&tuple).is_some());
}

#[test]
fn contradictions_are_refused() {
    assert_eq!(restored_after(|_| {}), Ok(()));
    let first = busy().snapshot().allocations.remove(0);
    let (id, port) = (AllocationId::from_u64(first.id), first.port);

    assert_eq!(restored_after(|it| it.free[0].push(200)), Err(SnapshotError::FreePorts));
    assert_eq!(restored_after(|it| it.free[0].extend(it.free[0].first().copied())), Err(SnapshotError::FreePorts));
    assert_eq!(restored_after(|it| it.allocations[1].port = port), Err(SnapshotError::Port(port)));
    let outside = AllocationPort::new(1);
    assert_eq!(restored_after(|it| it.allocations[1].port = outside), Err(SnapshotError::Port(outside)));
    assert_eq!(restored_after(|it| it.lent.push(port)), Err(SnapshotError::Port(port)));
    assert_eq!(restored_after(|it| it.lent.push(outside)), Err(SnapshotError::Port(outside)));
    assert_eq!(restored_after(|it| it.quarantined.push((T0, outside))), Err(SnapshotError::Port(outside)));
    assert!(matches!(restored_after(|it| it.lent.truncate(1)), Err(SnapshotError::Port(_))), "a port is nowhere");
    assert!(matches!(restored_after(|it| it.quarantined.clear()), Err(SnapshotError::Port(_))));

    assert_eq!(
        restored_after(|it| it.allocations[1].five_tuple = five_tuple(0)),
        Err(SnapshotError::FiveTuple(five_tuple(0)))
    );
    assert_eq!(restored_after(|it| it.allocations[1].id = first.id), Err(SnapshotError::Id(id)));
    assert_eq!(restored_after(|it| it.created = 0), Err(SnapshotError::Id(id)));
    assert!(matches!(restored_after(|it| it.allocations.swap(0, 1)), Err(SnapshotError::Id(_))), "oldest first");
    assert_eq!(
        restored_after(|it| it.allocations[0].id |= 0xFFFF),
        Err(SnapshotError::Id(AllocationId::from_u64(first.id | 0xFFFF)))
    );

    let channels = |change: fn(&mut Entry)| restored_after(|it| change(&mut it.allocations[0]));
    assert_eq!(channels(|it| it.channels[1].peer = it.channels[0].peer), Err(SnapshotError::Channels(id)));
    assert_eq!(channels(|it| it.channels[1].number = it.channels[0].number), Err(SnapshotError::Channels(id)));
    assert_eq!(channels(|it| it.permissions.extend_from_within(..1)), Err(SnapshotError::Permissions(id)));
    assert_eq!(channels(|it| it.key.extend([0; 33])), Err(SnapshotError::Key(id)));

    assert!(restored_after(|it| it.reservations.extend_from_within(..1)).is_err());
    assert_eq!(
        restored_after(|it| {
            it.reservations[0].1.is_adopted = true;
            it.reservations.extend_from_within(..1);
        }),
        Err(SnapshotError::Reservation)
    );
}

#[test]
fn the_snapshot_of_a_full_relay_is_small() {
    let mut full = Allocations::new(PortRange::DYNAMIC, [1; 32]);
    for client in 0..PortRange::DYNAMIC.len() {
        let id = full.allocate(T0, request(client, PortRequest::Any)).unwrap().id();
        full.bind_channel(T0, id, number(0), peer(client)).unwrap();
    }
    let bytes = bytes(&full.snapshot());
    let each = bytes.len() / full.len();
    assert!(each < 200, "{each} bytes for an allocation");
}

proptest! {
    #![proptest_config(test_support::property::config())]

    /// Whatever bytes decode, restoring gives an error, or something consistent.
    #[test]
    fn changed_bytes_give_an_error_or_something_consistent(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = bytes(&busy().snapshot());
        for (at, to) in changes {
            *at.get_mut(&mut bytes) = to;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let restored = postcard::from_bytes::<AllocationsSnapshot>(&bytes).ok().map(|it| it.restore(Limits::default()));
        if let Some(Ok(restored)) = restored {
            restored.assert_consistent();
        }
    }
}
