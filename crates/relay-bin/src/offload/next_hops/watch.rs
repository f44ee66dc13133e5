//! Checks that the neighbours to which flows are sent are still at the addresses that the kernel has.

use std::{
    collections::{HashMap, VecDeque},
    io,
    time::Duration,
};

use relay_ebpf::Neighbour;

use super::rtnetlink::{Entry, Requests, State};

/// The time between two checks.
pub(super) const TICK: Duration = Duration::from_millis(200);

/// A neighbour in use is probed after this many ticks.
const TICKS_PER_PROBE: u64 = 2;

/// A neighbour counts as idle if no flow has looked it up for this many ticks: longer than next hops are cached.
const TICKS_UNTIL_IDLE: u64 = 8;

/// How many neighbours to check in one tick. If there are more, each is checked less often.
const PER_TICK: usize = 128;

/// The most ticks that a neighbour may take to answer.
const MOST_PATIENCE: u64 = 16;

/// After this many prompt answers in a row, a slow neighbour gets less time again.
const PROMPT_ANSWERS: u32 = 150;

/// The kernel's neighbour table.
pub(super) trait NeighbourTable {
    /// The entry of `neighbour`.
    fn look_up(&mut self, neighbour: &Neighbour) -> io::Result<Option<Entry>>;

    /// Probes it at its known address.
    fn probe(&mut self, neighbour: &Neighbour) -> io::Result<()>;

    /// Discards its address and resolves it again.
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

/// Keeps the entries of neighbours fresh that flows use: packets forwarded by the XDP program do not.
///
/// Each neighbour is probed every 0.4 s at its known address. If it does not answer within 0.2 s, its Ethernet address may have
/// changed: its entry is discarded, so that the kernel resolves the address again. Meanwhile packets go through user space, where
/// the kernel holds them back until it has the address. If the address turns out to be the same, the neighbour is only slow, and
/// gets twice the time from then on.
#[derive(Debug, Default)]
pub(super) struct Watch {
    ticks: u64,
    neighbours: HashMap<Neighbour, Watched>,
    /// The same neighbours, in the order of their turns.
    turns: VecDeque<Neighbour>,
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    /// When a flow last looked it up, by the program's clock, and the tick in which that was first seen.
    used: (u64, u64),
    address: Option<[u8; 6]>,
    asked: Asked,
    /// How many ticks it may take to answer.
    patience: u64,
    prompt_answers: u32,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    /// Not probed since this tick.
    Not(u64),
    /// Probed at its address since this tick.
    There(u64),
    /// Being resolved again. It had this address before.
    Everybody([u8; 6]),
}

impl Watch {
    /// Handles another [`TICK`]. `noted` are the neighbours that the program has used. Calls `forget` for each idle neighbour.
    /// Returns whether an address has changed, so that cached next hops may be wrong.
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

    /// Handles a neighbour's new entry. Returns whether its address has changed, so that cached next hops may be wrong; `None` if
    /// the neighbour is not known to be in use.
    pub(super) fn note(&mut self, neighbour: &Neighbour, entry: Option<Entry>) -> Option<bool> {
        let watched = self.neighbours.get_mut(neighbour)?;
        let address = entry.and_then(|entry| entry.address);
        let has_changed = watched.address != address;
        watched.address = address;
        Some(has_changed)
    }
}

impl Watched {
    /// Probes or resolves the neighbour if it is time. Returns whether its address has changed.
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
            // No answer. Packets are not forwarded to it, so it will soon be idle.
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
