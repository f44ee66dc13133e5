use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use allocation::{Allocation, Allocations, Credential, Families, Family, NewAllocation, PortRange, PortRequest};
use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::{FiveTuple, Timestamp};

fn ids() -> [AllocationId; 3] {
    let mut allocations = Allocations::new(PortRange::DYNAMIC, [1; 32]);
    [1, 2, 3].map(|port| {
        let new = NewAllocation {
            five_tuple: FiveTuple {
                client: SocketAddr::from(([198, 51, 100, 7], port)).into(),
                server: [192, 0, 2, 1].into(),
            },
            credential: Credential::unsigned("alice"),
            transaction_id: [1; 12],
            lifetime: Duration::from_secs(600),
            families: Families::Only(Family::V4),
            port: PortRequest::Any,
        };
        allocations.allocate(Timestamp::ZERO, new).map(Allocation::id).unwrap()
    })
}

/// A peer at one of two addresses, an IPv4 and an IPv6 one.
fn peer(number: u16) -> PeerSocket {
    let (v4, v6) = ([203, 0, 113, 1], [0x2001, 0xdb8, 9, 0, 0, 0, 0, 1]);
    let port = 1 + number / 2;
    let address = if number.is_multiple_of(2) { SocketAddr::from((v4, port)) } else { SocketAddr::from((v6, port)) };
    address.into()
}

fn is_v4(peer: PeerSocket) -> bool {
    peer.address().is_ipv4()
}

#[test]
fn of_each_allocation_so_many_have_room_and_none_makes_room_for_another() {
    let [one, other, _] = ids();
    let mut peers = IndicatedPeers::new(1_000);
    let bound = u16::try_from(INDICATED_PEERS_PER_ALLOCATION).unwrap();
    for number in 0..bound {
        assert!(peers.has_room(one) && peers.insert(one, peer(number)));
        assert!(!peers.insert(one, peer(number)), "it is there");
    }
    assert!(!peers.has_room(one) && !peers.insert(one, peer(bound)));
    assert!(peers.insert(other, peer(bound)));
    assert!((0..bound).all(|number| peers.contains(one, peer(number))));
    assert_eq!(peers.take(one, &is_v4).len(), INDICATED_PEERS_PER_ALLOCATION / 2);
    assert!(peers.insert(one, peer(bound)));
    peers.assert_consistent();
}

#[test]
fn where_none_are_wanted_there_are_none() {
    let mut peers = IndicatedPeers::default();
    assert!(!peers.are_wanted() && !peers.insert(ids()[0], peer(0)));
    peers.assert_consistent();
}

#[test]
fn what_is_over_takes_no_memory() {
    let [one, ..] = ids();
    let mut peers = IndicatedPeers::new(1_000);
    (0..64).for_each(|number| _ = peers.insert(one, peer(number)));
    for left in (0..64_u16).rev() {
        peers.take(one, &|taken| taken == peer(left));
        let capacity = peers.by_allocation.get(&one).map_or(0, Vec::capacity);
        assert!(capacity < 4 * (usize::from(left) + 1), "{capacity} for {left}");
    }
    assert!(peers.by_allocation.is_empty());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Insert(usize, u16),
    TakeFamily(usize, bool),
    TakeOne(usize, u16),
    TakeAll(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0..3_usize, 0..150_u16).prop_map(|(id, number)| Step::Insert(id, number)),
        1 => (0..3_usize, any::<bool>()).prop_map(|(id, v4)| Step::TakeFamily(id, v4)),
        5 => (0..3_usize, 0..150_u16).prop_map(|(id, number)| Step::TakeOne(id, number)),
        1 => (0..3_usize).prop_map(Step::TakeAll),
    ]
}

proptest! {
    #![proptest_config(test_support::property::config())]

    #[test]
    fn is_a_bounded_set(limit in prop_oneof![0..200_u32, Just(1_000)], steps in prop::collection::vec(step(), 1..200)) {
        let ids = ids();
        let mut peers = IndicatedPeers::new(limit);
        let mut model: BTreeSet<(usize, PeerSocket)> = BTreeSet::new();
        let take = |peers: &mut IndicatedPeers, model: &mut BTreeSet<_>, of: usize, gone: &dyn Fn(PeerSocket) -> bool| {
            let expected: Vec<_> = model.extract_if(.., |(id, peer)| *id == of && gone(*peer)).collect();
            let taken: Vec<_> = peers.take(ids[of], gone).into_iter().map(|peer| (of, peer)).collect();
            (taken, expected)
        };
        for step in steps {
            let (taken, expected) = match step {
                Step::Insert(id, number) => {
                    let of_id = model.iter().filter(|(of, _)| *of == id).count();
                    let has_room = of_id < INDICATED_PEERS_PER_ALLOCATION && model.len() < limit as usize;
                    prop_assert_eq!(peers.has_room(ids[id]), has_room);
                    let is_new = has_room && model.insert((id, peer(number)));
                    prop_assert_eq!(peers.insert(ids[id], peer(number)), is_new);
                    (vec![], vec![])
                }
                Step::TakeFamily(id, v4) => take(&mut peers, &mut model, id, &|peer| is_v4(peer) == v4),
                Step::TakeOne(id, number) => take(&mut peers, &mut model, id, &|one| one == peer(number)),
                Step::TakeAll(id) => take(&mut peers, &mut model, id, &|_| true),
            };
            prop_assert_eq!(taken, expected);
            peers.assert_consistent();
            for (number, id) in ids.iter().enumerate() {
                let of_id: Vec<_> = model.iter().filter(|(of, _)| *of == number).map(|(_, peer)| *peer).collect();
                prop_assert_eq!(peers.of(*id), &of_id[..]);
                prop_assert!((0..150).step_by(7).all(|one| peers.contains(*id, peer(one)) == of_id.contains(&peer(one))));
            }
        }
    }
}
