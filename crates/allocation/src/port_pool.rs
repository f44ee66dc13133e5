use rand::{Rng, RngCore};

use crate::{AllocationPort, PortRange};

/// The ports of a range that nobody uses, drawn at random.
///
/// Ports are kept as pairs of an even one and the odd one after it, each pair in one of four states: both halves free, only
/// one of them, or none. A list for each of the first three, and for every pair its place in the list, make each draw and
/// each release O(1) at any fill level, whatever is asked for: [RFC 8656, section
/// 7.2](https://www.rfc-editor.org/rfc/rfc8656#section-7.2) wants any port, an even one, or a whole pair.
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
        let pairs = usize::from(range.highest() / 2 - range.lowest() / 2) + 1;
        let mut pool =
            Self { range, lists: Default::default(), states: vec![State::Neither; pairs], places: vec![0; pairs] };
        for port in range.iter() {
            pool.release(port);
        }
        pool
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

    /// Gives `port` back. Ports outside of the range, and free ones, are left alone.
    pub(crate) fn release(&mut self, port: AllocationPort) {
        if self.range.contains(port) {
            self.set(port, true);
        }
    }

    /// How many ports are free.
    pub(crate) fn len(&self) -> usize {
        let [both, even, odd] = self.lists.each_ref().map(Vec::len);
        2 * both + even + odd
    }

    const fn port(&self, pair: u16, odd: bool) -> AllocationPort {
        AllocationPort::new((self.range.lowest() / 2 + pair) * 2 + odd as u16)
    }

    /// Moves the pair of `port` to the list that fits once `port` is free, or taken.
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
    // Below 2^16 in all cases; 32 bits take one word from the generator on every platform.
    let choices = u32::try_from(choices).ok().filter(|choices| *choices > 0)?;
    usize::try_from(rng.random_range(0..choices)).ok()
}
