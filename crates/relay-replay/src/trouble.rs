//! A summary of refusals and drops.

use serde::Serialize;

use crate::{Change, Outcome, timeline::Timeline};

/// Refusals or drops of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// What happened, such as `dropped: send indication`.
    pub text: String,
    /// The number of occurrences.
    pub count: u64,
    /// The first row with it.
    pub row: u32,
}

/// All troubles, in order of their first occurrence. Challenges and stale nonces are ordinary, and left out.
pub(crate) fn all(timeline: &Timeline) -> Vec<Trouble> {
    let mut troubles: Vec<Trouble> = Vec::new();
    let mut kinds: Vec<&Change> = Vec::new();
    for row in 0..timeline.len() {
        for change in timeline.changes_of(row).iter().filter(|change| is_trouble(change)) {
            let text = || change.headline().unwrap_or_default();
            // Comparing changes is faster than formatting each of a million.
            match kinds.iter().position(|known| *known == change) {
                Some(known) => troubles[known].count += 1,
                None => {
                    kinds.push(change);
                    troubles.push(Trouble { text: text(), count: 1, row });
                }
            }
        }
    }
    troubles
}

fn is_trouble(change: &Change) -> bool {
    match change {
        Change::Dropped { .. } => true,
        Change::Responded { outcome, .. } => {
            *outcome != Outcome::Challenged && outcome.error_code().is_some_and(|code| code != 438)
        }
        _ => false,
    }
}
