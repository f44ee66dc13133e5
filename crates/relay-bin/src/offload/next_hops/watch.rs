//! Whether the neighbours that flows lead to are still where the kernel believes.

use std::{
    collections::{HashMap, VecDeque},
    io,
    time::Duration,
};

use relay_ebpf::Neighbour;

use super::rtnetlink::{Entry, Requests, State};

/// From one look at the neighbours to the next.
pub(super) const TICK: Duration = Duration::from_millis(200);

/// A neighbour in use is asked each time that so many ticks have passed.
const TICKS_PER_PROBE: u64 = 2;

/// A neighbour is not in use any more when no flow has looked it up for so many ticks: longer than a next hop is kept.
const TICKS_UNTIL_IDLE: u64 = 8;

/// How many neighbours are looked at in one tick. Where there are more, each has its turn less often.
const PER_TICK: usize = 128;

/// How many ticks a neighbour has to answer, at most.
const MOST_PATIENCE: u64 = 16;

/// After so many prompt answers, a neighbour that was slow once is given less time again.
const PROMPT_ANSWERS: u32 = 150;

/// The kernel's neighbour table.
pub(super) trait NeighbourTable {
    /// What it knows of `neighbour`.
    fn look_up(&mut self, neighbour: &Neighbour) -> io::Result<Option<Entry>>;

    /// Asks it, at its present address, whether it is there.
    fn probe(&mut self, neighbour: &Neighbour) -> io::Result<()>;

    /// Forgets its address, and asks everybody for it.
    fn resolve(&mut self, neighbour: &Neighbour) -> io::Result<()>;
}

impl NeighbourTable for Requests {
    fn look_up(&mut self, neighbour: &Neighbour) -> io::Result<Option<Entry>> {
        Self::look_up(self, neighbour)
    }

    fn probe(&mut self, neighbour: &Neighbour) -> io::Result<()> {
        Self::probe(self, neighbour)
    }

    fn resolve(&mut self, neighbour: &Neighbour) -> io::Result<()> {
        Self::resolve(self, neighbour)
    }
}

/// Keeps the neighbours that flows use fresh in the kernel's table, which packets that the kernel forwards for us do not.
///
/// Each one is asked every 0.4 s at its present address. One that does not answer within 0.2 s may have changed its Ethernet
/// address: its entry is given up, so that the kernel asks everybody. Meanwhile packets go through user space, where the kernel
/// holds them back until it knows. One that then turns out to be where it was is only slow, and has twice the time from then on.
#[derive(Debug, Default)]
pub(super) struct Watch {
    ticks: u64,
    neighbours: HashMap<Neighbour, Watched>,
    /// The same, in the order of their turns.
    turns: VecDeque<Neighbour>,
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    /// When it was last looked up, by the program's clock; and since which tick we know.
    used: (u64, u64),
    address: Option<[u8; 6]>,
    asked: Asked,
    /// How many ticks it has to answer.
    patience: u64,
    prompt_answers: u32,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    /// Not since this tick.
    Not(u64),
    /// At its address, in this tick.
    There(u64),
    /// Everybody; it was at this address before.
    Everybody([u8; 6]),
}

impl Watch {
    /// Another [`TICK`] has passed, and these are the neighbours that the program has noted. Calls `forget` for each that is not in
    /// use any more. Whether an address has changed that next hops may be kept with.
    pub(super) fn tick(
        &mut self,
        noted: &[(Neighbour, u64)],
        table: &mut impl NeighbourTable,
        mut forget: impl FnMut(&Neighbour),
    ) -> io::Result<bool> {
        self.ticks += 1;
        let ticks = self.ticks;
        for (neighbour, used) in noted {
            let watched = self.neighbours.entry(*neighbour).or_insert_with(|| {
                self.turns.push_back(*neighbour);
                Watched { used: (*used, ticks), address: None, asked: Asked::Not(0), patience: 1, prompt_answers: 0 }
            });
            if watched.used.0 != *used {
                watched.used = (*used, ticks);
            }
        }
        let mut has_changed = false;
        for _ in 0..self.turns.len().min(PER_TICK) {
            let Some(neighbour) = self.turns.pop_front() else { break };
            let Some(watched) = self.neighbours.get_mut(&neighbour) else { continue };
            if ticks - watched.used.1 >= TICKS_UNTIL_IDLE {
                self.neighbours.remove(&neighbour);
                forget(&neighbour);
                continue;
            }
            self.turns.push_back(neighbour);
            has_changed |= watched.look(ticks, &neighbour, table)?;
        }
        Ok(has_changed)
    }

    /// The kernel's entry of a neighbour is this now. Whether next hops may be kept with another address; `None` if the neighbour is
    /// not known to be in use.
    pub(super) fn note(&mut self, neighbour: &Neighbour, entry: Option<Entry>) -> Option<bool> {
        let watched = self.neighbours.get_mut(neighbour)?;
        let address = entry.and_then(|entry| entry.address);
        let has_changed = watched.address != address;
        watched.address = address;
        Some(has_changed)
    }
}

impl Watched {
    /// Does what is due. Whether its address has changed.
    fn look(&mut self, ticks: u64, neighbour: &Neighbour, table: &mut impl NeighbourTable) -> io::Result<bool> {
        if matches!(self.asked, Asked::Not(since) if ticks - since < TICKS_PER_PROBE) {
            return Ok(false);
        }
        let entry = table.look_up(neighbour)?;
        let address = entry.and_then(|entry| entry.address);
        let has_changed = self.address.is_some() && self.address != address;
        self.address = address;
        let Some(entry) = entry else {
            self.asked = Asked::Not(ticks);
            return Ok(has_changed);
        };
        self.asked = match (self.asked, entry.state) {
            // Nobody answers: packets are not forwarded to it, and it is not in use any more before long.
            (Asked::Everybody(_), State::Unknown) => self.asked,
            (_, State::Given | State::Unknown) => Asked::Not(ticks),
            (Asked::Everybody(before), _) => {
                let is_slow = address == Some(before);
                self.patience = if is_slow { (self.patience * 2).min(MOST_PATIENCE) } else { 1 };
                self.prompt_answers = 0;
                Asked::Not(ticks)
            }
            (Asked::There(since), State::Probed) if ticks - since < self.patience => self.asked,
            (Asked::There(_), State::Probed) => {
                table.resolve(neighbour)?;
                self.address = None;
                address.map_or(Asked::Not(ticks), Asked::Everybody)
            }
            (Asked::There(since), _) => {
                self.prompt_answers = if ticks - since <= 1 { self.prompt_answers + 1 } else { 0 };
                if self.prompt_answers >= PROMPT_ANSWERS {
                    self.patience = (self.patience / 2).max(1);
                    self.prompt_answers = 0;
                }
                Asked::Not(ticks - 1)
            }
            (Asked::Not(_), State::Probed) => Asked::There(ticks),
            (Asked::Not(_), State::Confirmed | State::Unconfirmed) => {
                table.probe(neighbour)?;
                Asked::There(ticks)
            }
        };
        Ok(has_changed)
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
