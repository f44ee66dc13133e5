//! The figures that a scenario prints, and the goals for some of them.

use std::fmt::Display;

use anyhow::{Result, ensure};

/// The widths of a figure's name and of the figure, in characters.
const NAME: usize = 58;
const VALUE: usize = 16;

/// The goals that were missed.
#[derive(Debug, Default)]
pub(super) struct Figures {
    missed: Vec<String>,
}

impl Figures {
    /// Prints a figure.
    pub(super) fn tell(&self, name: &str, value: impl Display) {
        println!("{name:<NAME$}{value:>VALUE$}");
    }

    /// Prints a figure with its goal, and whether the goal is met.
    pub(super) fn expect(&mut self, name: &str, value: impl Display, goal: &str, is_met: bool) {
        let verdict = if is_met { "met" } else { "MISSED" };
        println!("{name:<NAME$}{value:>VALUE$}   goal: {goal}, {verdict}");
        if !is_met {
            self.missed.push(format!("{name}: {value}, not {goal}"));
        }
    }

    /// Ends a scenario.
    ///
    /// # Errors
    ///
    /// When a goal was missed.
    pub(super) fn finish(self) -> Result<()> {
        ensure!(self.missed.is_empty(), "goals missed: {}", self.missed.join("; "));
        println!("all goals are met");
        Ok(())
    }
}

/// `bytes` as MiB.
pub(super) fn mib(bytes: u64) -> String {
    format!("{:.2} MiB", bytes as f64 / 1024.0 / 1024.0)
}

/// `after` less `before`, as KiB.
pub(super) fn kib_more(before: u64, after: u64) -> String {
    format!("{:.0} KiB", (after as f64 - before as f64) / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_goal_is_an_error() {
        let mut figures = Figures::default();
        figures.expect("loss", 0, "0", true);
        assert!(Figures { missed: figures.missed.clone() }.finish().is_ok());
        figures.expect("growth", mib(17 << 20), "below 16 MiB", false);
        assert_eq!(figures.finish().unwrap_err().to_string(), "goals missed: growth: 17.00 MiB, not below 16 MiB");
        assert_eq!(kib_more(4096, 2048), "-2 KiB");
    }
}
