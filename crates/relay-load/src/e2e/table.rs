//! The results, as text and as JSON.

use serde::Serialize;

use super::Args;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Results {
    workers: usize,
    seconds_per_slice: f64,
    rounds: usize,
    relaying: Vec<Relaying>,
    figures: Vec<Figure>,
    /// What this machine could not measure, and why.
    left_out: Vec<String>,
}

/// The result of a relaying case: medians over the slices.
#[derive(Debug, Serialize)]
pub(super) struct Relaying {
    pub(super) case: String,
    pub(super) server: String,
    pub(super) cpu_us_per_packet: f64,
    /// Relative to the forwarder's CPU time per packet in the same round.
    pub(super) ratio_to_floor: Option<f64>,
    pub(super) packets_per_second: f64,
    pub(super) lost_percent: f64,
    pub(super) corrupt: u64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
}

/// A figure of one server.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) server: String,
    pub(super) value: f64,
    pub(super) unit: &'static str,
    /// Whether the true value may be higher, because the load program was the limit.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) at_least: bool,
}

impl Results {
    pub(super) const fn new(args: &Args) -> Self {
        Self {
            workers: args.workers,
            seconds_per_slice: args.seconds,
            rounds: args.rounds,
            relaying: Vec::new(),
            figures: Vec::new(),
            left_out: Vec::new(),
        }
    }

    pub(super) fn relaying(&mut self, row: Relaying) {
        eprintln!("{}", row.line());
        self.relaying.push(row);
    }

    pub(super) fn figure(&mut self, name: &str, server: &str, value: f64, unit: &'static str) {
        self.add(Figure { name: name.to_owned(), server: server.to_owned(), value, unit, at_least: false });
    }

    /// Adds a rate in datagrams per second. If `at_least`, the true value may be higher.
    pub(super) fn rate(&mut self, name: &str, server: &str, value: f64, at_least: bool) {
        self.add(Figure { name: name.to_owned(), server: server.to_owned(), value, unit: "/s", at_least });
    }

    fn add(&mut self, figure: Figure) {
        eprintln!("{}", figure.line());
        self.figures.push(figure);
    }

    /// Reports that this machine cannot measure `what`, and `why`.
    pub(super) fn left_out(&mut self, what: &str, why: &str) {
        let line = format!("LEFT OUT: {what}: {why}");
        eprintln!("{line}");
        self.left_out.push(line);
    }

    pub(super) fn print(&self) {
        if !self.relaying.is_empty() {
            println!(
                "{:<36} {:<15} {:>9} {:>8} {:>10} {:>8} {:>9} {:>9}",
                "case", "server", "CPU us", "x floor", "packets/s", "lost %", "p50 us", "p99 us"
            );
            for row in &self.relaying {
                println!("{}", row.line());
            }
            println!();
        }
        for figure in &self.figures {
            println!("{}", figure.line());
        }
        for line in &self.left_out {
            println!("{line}");
        }
    }
}

impl Relaying {
    fn line(&self) -> String {
        let ratio = self.ratio_to_floor.map_or_else(String::new, |ratio| format!("x{ratio:.2}"));
        let corrupt = if self.corrupt > 0 { format!("  {} CORRUPT", self.corrupt) } else { String::new() };
        format!(
            "{:<36} {:<15} {:>9.3} {:>8} {:>10.0} {:>8.3} {:>9.1} {:>9.1}{corrupt}",
            self.case,
            self.server,
            self.cpu_us_per_packet,
            ratio,
            self.packets_per_second,
            self.lost_percent,
            self.p50_us,
            self.p99_us
        )
    }
}

impl Figure {
    fn line(&self) -> String {
        let at_least = if self.at_least { " at least: the load program was the limit" } else { "" };
        format!("{:<64} {:<15} {:>12.2} {}{at_least}", self.name, self.server, self.value, self.unit)
    }
}

/// The median of `values`; NaN if there are none.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert!(median([]).is_nan());
        assert_eq!([median([3.0, 1.0, 2.0]), median([4.0, 1.0, 2.0, 3.0])], [2.0, 2.5]);
    }
}
