//! The options of the end-to-end benchmark.

use std::path::PathBuf;

/// Compare the relay with coturn and a bare forwarder, under the same load, in alternating slices.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The relay's binary.
    #[arg(long)]
    pub(super) relay: PathBuf,
    /// coturn's binary [default: not compared]
    #[arg(long)]
    pub(super) coturn: Option<PathBuf>,
    /// Another build of the relay, whose ChannelData is compared with this one's beside indications [default: not compared]
    #[arg(long)]
    pub(super) other: Option<PathBuf>,
    /// How many threads each server relays with.
    #[arg(long, default_value_t = 1)]
    pub(super) workers: usize,
    /// How long a slice is, in seconds.
    #[arg(long, default_value_t = 1.0)]
    pub(super) seconds: f64,
    /// How many slices each server gets in each case; and at most how many of the three searches for the highest loss-free rate,
    /// and of the three rounds of opening and closing allocations. Figures are medians over them.
    #[arg(long, default_value_t = 5)]
    pub(super) rounds: usize,
    /// How many allocations are open at a time in the cases that need many.
    #[arg(long, default_value_t = 10_000)]
    pub(super) allocations: usize,
    /// How long to wait for other programs to leave the CPUs alone, in each round of the cases that measure the whole machine, in seconds.
    /// A slice in which they do not is measured anew for so long, and then counts all the same, which is told.
    #[arg(long, default_value_t = 60.0, value_name = "SECONDS")]
    pub(super) wait_for_quiet: f64,
    /// Only cases whose name contains this text.
    #[arg(long)]
    pub(super) only: Option<String>,
    /// Where to write the results as JSON.
    #[arg(long)]
    pub(super) json: Option<PathBuf>,
    /// Where the servers' logs go.
    #[arg(long, default_value = ".")]
    pub(super) logs: PathBuf,
}

impl Args {
    pub(super) fn wants(&self, case: &str) -> bool {
        self.only.as_ref().is_none_or(|only| case.contains(only.as_str()))
    }
}
