//! Finds the highest rate without loss.

use std::time::Duration;

use anyhow::Result;

use super::{
    super::{
        Args,
        loss_free::{Search, Slice, fold},
        table::Results,
    },
    target::{Kind, Target},
};

/// The most searches.
const SEARCHES: usize = 3;
/// The length of a slice.
const SLICE: Duration = Duration::from_millis(500);

/// A target with its current search and those that have ended.
struct Searched {
    target: Target,
    search: Search,
    found: Vec<Search>,
}

impl Searched {
    fn new(target: Target) -> Self {
        Self { target, search: Search::from_start(), found: Vec::new() }
    }

    /// Runs one more slice. Returns false if the search is over.
    fn step(&mut self, size: usize) -> Result<bool> {
        let Some(rate) = self.search.next() else { return Ok(false) };
        let (report, dropped) = self.target.at_rate(rate, SLICE, size)?;
        self.search.record(Slice::of(&report, rate as f64 * SLICE.as_secs_f64(), dropped));
        Ok(true)
    }

    /// Begins the next search, near the result of the last.
    fn again(&mut self) {
        let next = self.search.again();
        self.found.push(std::mem::replace(&mut self.search, next));
    }
}

pub(super) fn measure(args: &Args, results: &mut Results, name: &str, targets: Vec<Target>, size: usize) -> Result<()> {
    let mut all: Vec<Searched> =
        targets.into_iter().filter(|target| target.kind != Kind::SecondRouter).map(Searched::new).collect();
    for _ in 0..args.rounds.clamp(1, SEARCHES) {
        // In turns, so that all run under the same conditions.
        loop {
            let mut went_on = false;
            for searched in &mut all {
                went_on |= searched.step(size)?;
            }
            if !went_on {
                break;
            }
        }
        all.iter_mut().for_each(Searched::again);
    }
    let mut highest = 0;
    for Searched { target, found, .. } in &all {
        let (rate, at_least) = fold(found);
        results.rate(&format!("{name}: highest loss-free rate"), target.kind.name(), rate, at_least);
        if target.kind == Kind::UserSpace {
            highest = found.iter().map(Search::passed).max().unwrap_or_default();
        }
    }
    // The kernel must carry the rate that user space carries.
    for Searched { target, .. } in all.iter_mut().filter(|searched| highest > 0 && searched.target.kind.is_in_kernel())
    {
        let mut lost = 0;
        for _ in 0..args.rounds {
            lost += target.at_rate(highest, SLICE, size)?.0.lost();
        }
        results.figure(&format!("{name}: lost at user space's highest rate"), target.kind.name(), lost as f64, "");
    }
    Ok(())
}
