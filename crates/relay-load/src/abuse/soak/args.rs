//! The options of the soak scenario.

/// Clients whose data is checked byte for byte, and one fault after the other beside them: floods of every kind, mutated packets, half-open
/// connections, clients that vanish, clients that come and go, a collector that is silent, refuses or hangs up, a log that nobody reads,
/// rules that change, and addresses that come and go (as root, in a network namespace). After each there is a while without any. Data may be lost
/// only while strangers flood at full speed, and while the relay's own address is gone.
#[derive(clap::Args)]
pub(in crate::abuse) struct Args {
    /// How long, in seconds.
    #[arg(long, default_value_t = 600.0, value_name = "SECONDS")]
    pub(super) duration: f64,
    /// How many clients relay data all the time.
    #[arg(long, default_value_t = 8)]
    pub(super) clients: usize,
    /// How many datagrams they and their peer send in a second, together.
    #[arg(long, default_value_t = 1_000)]
    pub(super) rate: u64,
    /// How much the relay's memory may grow, in MiB.
    #[arg(long, default_value_t = 16)]
    pub(super) growth: u64,
    /// How many datagrams may be lost during faults that may lose none: where other programs keep the machine busy, the kernel drops one now
    /// and then.
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    pub(super) may_lose: u64,
    /// What floods are drawn from.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
}
