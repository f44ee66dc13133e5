use rand::{Rng, RngCore};

use crate::{AllocationPort, PortRange};

/// The free ports of a range, drawn at random.
///
/// Ports are kept as pairs of an even port and the odd port after it. A pair has both ports free, only the even one, only the
/// odd one, or none. There is a list of pairs for each of the first three states, and every pair knows its place in its list. So
/// each draw and each release is O(1), however full the pool is, for each kind of port that [RFC 8656, section
/// 7.2](https://www.rfc-editor.org/rfc/rfc8656#section-7.2) knows: any port, an even one, or a whole pair.
#[derive(Debug)]
pub(crate) struct PortPool {
    range: PortRange,
    lists: [Vec<u16>; 3],
    /// For every pair: its state.
    states: Vec<State>,
    /// For every pair: its index in the list of its state; without meaning when no half is free.
    places: Vec<u16>,
}

/// Which halves of a pair are free. The first three number the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Both = 0,
    Even = 1,
    Odd = 2,
    Neither = 3,
}

impl State {
    const fn of(even: bool, odd: bool) -> Self {
        match (even, odd) {
            (true, true) => Self::Both,
            (true, false) => Self::Even,
            (false, true) => Self::Odd,
            (false, false) => Self::Neither,
        }
    }

    const fn even(self) -> bool {
        matches!(self, Self::Both | Self::Even)
    }

    const fn odd(self) -> bool {
        matches!(self, Self::Both | Self::Odd)
    }
}

impl PortPool {
    /// A pool in which all of `range` is free.
    pub(crate) fn new(range: PortRange) -> Self {
        let mut pool = Self::with_none_free(range);
        for port in range.iter() {
            pool.release(port);
        }
        pool
    }

    fn with_none_free(range: PortRange) -> Self {
        let pairs = usize::from(range.highest() / 2 - range.lowest() / 2) + 1;
        // Room for all pairs from the start, so that no memory is allocated later, when the relay is busiest.
        let list = || Vec::with_capacity(pairs);
        let lists = [list(), list(), list()];
        Self { range, lists, states: vec![State::Neither; pairs], places: vec![0; pairs] }
    }

    /// The lists of pairs, from which and in whose order the next ports are drawn.
    pub(crate) const fn lists(&self) -> &[Vec<u16>; 3] {
        &self.lists
    }

    /// A pool of `range` with these lists. `None` if they name a pair twice, or a port outside the range.
    pub(crate) fn of_lists(range: PortRange, lists: [Vec<u16>; 3]) -> Option<Self> {
        let mut pool = Self::with_none_free(range);
        for (list, state) in (0..).zip([State::Both, State::Even, State::Odd]) {
            for (place, &pair) in (0..).zip(&lists[list]) {
                let at = usize::from(pair);
                let is_new = pool.states.get(at).is_some_and(|before| *before == State::Neither);
                let has = |odd| is_new && range.contains(pool.port(pair, odd));
                if !is_new || state.even() && !has(false) || state.odd() && !has(true) {
                    return None;
                }
                (pool.states[at], pool.places[at]) = (state, place);
            }
            pool.lists[list].extend_from_slice(&lists[list]);
        }
        Some(pool)
    }

    /// Whether `port` is free.
    pub(crate) fn is_free(&self, port: AllocationPort) -> bool {
        let state = || self.states[usize::from(port.get() / 2 - self.range.lowest() / 2)];
        self.range.contains(port) && if port.get().is_multiple_of(2) { state().even() } else { state().odd() }
    }

    /// Takes any free port, all of them equally likely.
    pub(crate) fn draw_any(&mut self, rng: &mut impl RngCore) -> Option<AllocationPort> {
        let [both, even, odd] = self.lists.each_ref().map(Vec::len);
        let pick = pick(rng, 2 * both + even + odd)?;
        let port = if pick < 2 * both {
            self.port(self.lists[State::Both as usize][pick / 2], pick % 2 == 1)
        } else if pick < 2 * both + even {
            self.port(self.lists[State::Even as usize][pick - 2 * both], false)
        } else {
            self.port(self.lists[State::Odd as usize][pick - 2 * both - even], true)
        };
        self.set(port, false);
        Some(port)
    }

    /// Takes any free even port, all of them equally likely.
    pub(crate) fn draw_even(&mut self, rng: &mut impl RngCore) -> Option<AllocationPort> {
        let [both, even, _] = self.lists.each_ref().map(Vec::len);
        let pick = pick(rng, both + even)?;
        let pair = if pick < both {
            self.lists[State::Both as usize][pick]
        } else {
            self.lists[State::Even as usize][pick - both]
        };
        let port = self.port(pair, false);
        self.set(port, false);
        Some(port)
    }

    /// Takes a free even port and the port after it, which is free as well.
    pub(crate) fn draw_pair(&mut self, rng: &mut impl RngCore) -> Option<(AllocationPort, AllocationPort)> {
        let both = &self.lists[State::Both as usize];
        let pair = both[pick(rng, both.len())?];
        let (even, odd) = (self.port(pair, false), self.port(pair, true));
        self.set(even, false);
        self.set(odd, false);
        Some((even, odd))
    }

    /// Frees `port`. Does nothing if it is outside the range, or free already.
    pub(crate) fn release(&mut self, port: AllocationPort) {
        if self.range.contains(port) {
            self.set(port, true);
        }
    }

    /// Takes `port`. Does nothing if it is outside the range, or taken already.
    pub(crate) fn take(&mut self, port: AllocationPort) {
        if self.range.contains(port) {
            self.set(port, false);
        }
    }

    /// All its ports, free or not.
    pub(crate) const fn range(&self) -> PortRange {
        self.range
    }

    /// Whether `port` is in the range, free or not.
    pub(crate) const fn owns(&self, port: AllocationPort) -> bool {
        self.range.contains(port)
    }

    /// How many ports are free.
    pub(crate) fn len(&self) -> usize {
        let [both, even, odd] = self.lists.each_ref().map(Vec::len);
        2 * both + even + odd
    }

    const fn port(&self, pair: u16, odd: bool) -> AllocationPort {
        AllocationPort::new((self.range.lowest() / 2 + pair) * 2 + odd as u16)
    }

    /// Marks `port` free or taken, and moves its pair to the list of its new state.
    fn set(&mut self, port: AllocationPort, free: bool) {
        let pair = port.get() / 2 - self.range.lowest() / 2;
        let old = self.states[usize::from(pair)];
        let new = if port.get().is_multiple_of(2) { State::of(free, old.odd()) } else { State::of(old.even(), free) };
        if old == new {
            return;
        }
        if let Some(list) = self.lists.get_mut(old as usize) {
            let place = self.places[usize::from(pair)];
            list.swap_remove(usize::from(place));
            if let Some(&moved) = list.get(usize::from(place)) {
                self.places[usize::from(moved)] = place;
            }
        }
        if let Some(list) = self.lists.get_mut(new as usize) {
            self.places[usize::from(pair)] = u16::try_from(list.len()).unwrap_or(u16::MAX);
            list.push(pair);
        }
        self.states[usize::from(pair)] = new;
    }
}

fn pick(rng: &mut impl RngCore, choices: usize) -> Option<usize> {
    // Always below 2^16. A `u32` takes one word from the generator on every platform.
    let choices = u32::try_from(choices).ok().filter(|choices| *choices > 0)?;
    usize::try_from(rng.random_range(0..choices)).ok()
}

#[cfg(any(test, feature = "invariants"))]
impl PortPool {
    /// Checks that lists, states and places agree, and returns all free ports.
    pub(crate) fn assert_consistent(&self) -> Vec<AllocationPort> {
        let mut free = Vec::new();
        let mut listed = 0;
        for (list, state) in self.lists.iter().zip([State::Both, State::Even, State::Odd]) {
            for (place, &pair) in list.iter().enumerate() {
                assert_eq!(self.states[usize::from(pair)], state);
                assert_eq!(usize::from(self.places[usize::from(pair)]), place);
                free.extend(state.even().then(|| self.port(pair, false)));
                free.extend(state.odd().then(|| self.port(pair, true)));
            }
            listed += list.len();
        }
        assert_eq!(listed, self.states.iter().filter(|state| **state != State::Neither).count());
        assert_eq!(free.len(), self.len());
        free
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;
    use rand::{RngCore, SeedableRng};
    use rand_chacha::ChaCha20Rng;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    /// Counts the words drawn: a measure of work that does not depend on the machine.
    struct Counting {
        rng: ChaCha20Rng,
        words: usize,
    }

    impl Counting {
        fn new() -> Self {
            Self { rng: ChaCha20Rng::from_seed([7; 32]), words: 0 }
        }
    }

    impl RngCore for Counting {
        fn next_u32(&mut self) -> u32 {
            self.words += 1;
            self.rng.next_u32()
        }

        fn next_u64(&mut self) -> u64 {
            self.words += 2;
            self.rng.next_u64()
        }

        fn fill_bytes(&mut self, bytes: &mut [u8]) {
            self.words += bytes.len().div_ceil(4);
            self.rng.fill_bytes(bytes);
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Op {
        Any,
        Even,
        Pair,
        Release(usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            Just(Op::Any),
            Just(Op::Even),
            Just(Op::Pair),
            any::<prop::sample::Index>().prop_map(|index| Op::Release(index.index(64))),
        ]
    }

    proptest! {
        #![proptest_config(test_support::property::config())]

        #[test]
        fn draws_what_is_free_and_nothing_else(
            lowest in 1_u16..8,
            length in 0_u16..24,
            ops in prop::collection::vec(op(), 0..100),
        ) {
            let range = PortRange::new(lowest, lowest + length).unwrap();
            let mut rng = Counting::new();
            let mut pool = PortPool::new(range);
            let mut free: BTreeSet<_> = range.iter().map(AllocationPort::get).collect();
            for op in ops {
                let is_even = |port: &&u16| port.is_multiple_of(2);
                match op {
                    Op::Any => {
                        let drawn = pool.draw_any(&mut rng);
                        prop_assert_eq!(drawn.is_some(), !free.is_empty());
                        prop_assert!(drawn.is_none_or(|port| free.remove(&port.get())));
                    }
                    Op::Even => {
                        let drawn = pool.draw_even(&mut rng);
                        prop_assert_eq!(drawn.is_some(), free.iter().any(|port| is_even(&port)));
                        prop_assert!(drawn.is_none_or(|port| is_even(&&port.get()) && free.remove(&port.get())));
                    }
                    Op::Pair => {
                        let drawn = pool.draw_pair(&mut rng);
                        let possible = free.iter().filter(is_even).any(|port| free.contains(&(port + 1)));
                        prop_assert_eq!(drawn.is_some(), possible);
                        if let Some((even, odd)) = drawn {
                            prop_assert_eq!(even.get() + 1, odd.get());
                            prop_assert!(is_even(&&even.get()) && free.remove(&even.get()) && free.remove(&odd.get()));
                        }
                    }
                    Op::Release(index) => {
                        let port = AllocationPort::new(u16::try_from(index).unwrap());
                        pool.release(port);
                        if range.contains(port) {
                            free.insert(port.get());
                        }
                    }
                }
                let mut left: Vec<_> = pool.assert_consistent().into_iter().map(AllocationPort::get).collect();
                left.sort_unstable();
                prop_assert!(left.into_iter().eq(free.iter().copied()));
            }
        }
    }

    #[test]
    fn finds_the_only_free_port_of_16384_as_quickly_as_the_first() {
        let mut rng = Counting::new();
        let mut pool = PortPool::new(PortRange::DYNAMIC);
        let first = pool.draw_any(&mut rng).unwrap();
        pool.release(first);
        while pool.len() > 1 {
            pool.draw_any(&mut rng).unwrap();
        }
        for _ in 0..1000 {
            let before = rng.words;
            let port = pool.draw_any(&mut rng).unwrap();
            assert!(rng.words - before <= 1, "{} words for one port", rng.words - before);
            assert_eq!(pool.draw_any(&mut rng), None);
            pool.release(port);
        }
    }

    #[test]
    fn every_port_is_equally_likely() {
        let (mut rng, range, rounds) = (Counting::new(), PortRange::new(101, 110).unwrap(), 10_000);
        let mut pool = PortPool::new(range);
        // Lone odd ports (101, 105), lone even ones (102, 110), a whole pair (106, 107), and one with neither half.
        for taken in [103, 104, 108, 109] {
            pool.set(AllocationPort::new(taken), false);
        }
        let mut counts = BTreeMap::<_, u32>::new();
        for _ in 0..rounds {
            let port = pool.draw_any(&mut rng).unwrap();
            pool.release(port);
            *counts.entry(port.get()).or_default() += 1;
        }
        assert!(counts.keys().eq(&[101, 102, 105, 106, 107, 110]));
        let expected = rounds / 6;
        // Five standard deviations of a binomial distribution; the seed is fixed, so this passes always or never.
        let tolerance = 5 * u32::isqrt(rounds * 5 / 36);
        for (port, count) in counts {
            assert!(count.abs_diff(expected) < tolerance, "{port} was drawn {count} times, not about {expected}");
        }
    }

    #[test]
    fn takes_a_few_bytes_per_port() {
        let pool = PortPool::new(PortRange::DYNAMIC);
        let lists: usize = pool.lists.iter().map(|list| list.capacity() * size_of::<u16>()).sum();
        let tables = pool.states.capacity() * size_of::<State>() + pool.places.capacity() * size_of::<u16>();
        assert!(lists + tables <= 5 * usize::from(PortRange::DYNAMIC.len()), "{lists} + {tables} bytes");
    }

    #[test]
    fn ignores_what_is_not_its_own() {
        let mut pool = PortPool::new(PortRange::new(10, 11).unwrap());
        for port in [9, 10, 11, 12, u16::MAX, 0] {
            pool.release(AllocationPort::new(port));
        }
        assert_eq!(pool.assert_consistent().len(), 2);
    }
}
