#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;

use super::*;

const PER_SECOND: u32 = 64;
const BURST: u32 = PER_SECOND * REPLY_BURST_SECONDS;
const NOW: Timestamp = Timestamp::ZERO;
const STRANGER: &str = "192.0.2.1";
const KIND: ReplyKind = ReplyKind::Challenge;

fn limit() -> ReplyLimit {
    ReplyLimit::new(NonZeroU32::new(PER_SECOND).unwrap(), &mut ChaCha20Rng::from_seed([7; 32]))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn taken(limit: &mut ReplyLimit, now: Timestamp, to: IpAddr, kind: ReplyKind) -> u32 {
    (0..).take_while(|_| limit.take(now, to, kind)).count().try_into().unwrap()
}

#[test]
fn an_address_has_a_burst_and_then_so_many_per_second() {
    let mut limit = limit();
    assert_eq!(taken(&mut limit, NOW, ip(STRANGER), KIND), BURST);
    for second in 1..=3 {
        assert_eq!(taken(&mut limit, Timestamp::from_secs(second), ip(STRANGER), KIND), PER_SECOND);
    }
    assert_eq!(taken(&mut limit, Timestamp::from_secs(1_000), ip(STRANGER), KIND), BURST);
}

#[test]
fn kinds_have_budgets_of_their_own() {
    let mut limit = limit();
    assert_eq!(taken(&mut limit, NOW, ip(STRANGER), ReplyKind::Binding), BURST);
    assert_eq!(taken(&mut limit, NOW, ip(STRANGER), ReplyKind::Challenge), BURST);
}

#[test]
fn a_noisy_address_costs_its_neighbours_nothing() {
    for (noisy, neighbours) in
        [(STRANGER, ["192.0.2.2", "192.0.2.254"]), ("2001:db8:1:2::1", ["2001:db8:1:3::1", "2001:db8:1:ff::1"])]
    {
        let mut limit = limit();
        for second in 0..10 {
            let now = Timestamp::from_secs(second);
            taken(&mut limit, now, ip(noisy), KIND);
            for neighbour in neighbours {
                assert!(limit.take(now, ip(neighbour), KIND), "{neighbour} after {second} s");
            }
        }
    }
}

/// An attacker who can forge one address of a network can forge all of them.
#[test]
fn a_prefix_gets_twice_what_an_address_gets() {
    let mut limit = limit();
    let mut in_prefix =
        |now| (0..=255).map(|last| taken(&mut limit, now, IpAddr::from([192, 0, 2, last]), KIND)).sum::<u32>();
    assert_eq!(in_prefix(NOW), 2 * BURST);
    assert_eq!(in_prefix(Timestamp::from_secs(1)), 2 * PER_SECOND);
    assert!(limit.take(NOW, ip("192.0.3.1"), KIND));
}

/// One subscriber has a whole IPv6 /64.
#[test]
fn an_ipv6_network_is_one_address() {
    let mut limit = limit();
    assert_eq!(taken(&mut limit, NOW, ip("2001:db8:1:2::1"), KIND), BURST);
    assert!(!limit.take(NOW, ip("2001:db8:1:2:ffff::2"), KIND));
}

#[test]
fn a_mapped_address_is_the_ipv4_address() {
    let mut limit = limit();
    assert_eq!(taken(&mut limit, NOW, ip(STRANGER), KIND), BURST);
    assert!(!limit.take(NOW, ip("::ffff:192.0.2.1"), KIND));
}

#[test]
fn who_answers_challenges_does_not_run_out() {
    let mut limit = limit();
    for _ in 0..10 * BURST {
        assert!(limit.take(NOW, ip(STRANGER), KIND));
        limit.give_back(NOW, ip(STRANGER));
    }
    // Answering more challenges than were counted gains nothing.
    limit.give_back(NOW, ip(STRANGER));
    assert_eq!(taken(&mut limit, NOW, ip(STRANGER), KIND), BURST);
}

#[test]
fn a_reply_no_longer_than_its_request_leaves_the_prefix_alone() {
    let mut limit = limit();
    for last in 1..=8 {
        let address = IpAddr::from([192, 0, 2, last]);
        let small = (0..).take_while(|_| limit.take_from_address(NOW, address, KIND)).count();
        assert_eq!(small, usize::try_from(BURST).unwrap());
    }
    assert!(!limit.take(NOW, ip(STRANGER), KIND), "its address has had its share");
    assert!(limit.take(NOW, ip("192.0.2.200"), KIND));
}

#[test]
fn other_prefixes_are_not_locked_out_by_one() {
    let mut limit = limit();
    (0..=255).for_each(|last| _ = taken(&mut limit, NOW, IpAddr::from([192, 0, 2, last]), KIND));
    for third in 0..=255 {
        for second in 0..=3 {
            assert!(limit.take(NOW, IpAddr::from([198, second, third, 1]), KIND));
        }
    }
}
