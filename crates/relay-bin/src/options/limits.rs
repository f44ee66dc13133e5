//! The options that limit channels and permissions.

use std::num::NonZeroUsize;

use clap::Args;
use relay_server::{Limits, PortRange};

use super::{bandwidth::BandwidthOptions, problems::Collector};
use crate::option_names::{CHANNELS_PER_ALLOCATION, MAX_CHANNELS, MAX_PERMISSIONS, Name, PERMISSIONS_PER_ALLOCATION};

/// How many channels or permissions there is room for on average. A client with a dozen peers is a busy one.
const PER_PORT: u32 = 16;
/// At least this many clients can reach their own limit on channels or permissions, however few ports there are.
const GREEDY_CLIENTS: u32 = 4;
/// The number of channel numbers, `0x4000..=0x7FFF`.
const CHANNEL_NUMBERS: u16 = 0x4000;

/// How much clients may have.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct LimitOptions {
    /// How many channels one allocation may have, those counted that lapsed less than 5 minutes ago; beyond it the answer is 508
    /// [default: 4096]
    #[arg(long, env = "CHANNELS_PER_ALLOCATION", value_name = "NUMBER", help_heading = "Limits")]
    pub(crate) channels_per_allocation: Option<String>,

    /// How many permissions one allocation may have; beyond it the answer is 508 [default: 4096]
    #[arg(long, env = "PERMISSIONS_PER_ALLOCATION", value_name = "NUMBER", help_heading = "Limits")]
    pub(crate) permissions_per_allocation: Option<String>,

    /// How many channels all allocations may have together, for about 125 bytes each; beyond it the answer is 508. Each worker
    /// grants its part of them [default: 16 for each allocation port, and at least as many as 4 allocations, or one for each worker,
    /// may have]
    #[arg(long, env = "MAX_CHANNELS", value_name = "NUMBER", help_heading = "Limits")]
    pub(crate) max_channels: Option<String>,

    /// How many permissions all allocations may have together, for about 100 bytes each; beyond it the answer is 508. Each worker
    /// grants its part of them [default: as for --max-channels]
    #[arg(long, env = "MAX_PERMISSIONS", value_name = "NUMBER", help_heading = "Limits")]
    pub(crate) max_permissions: Option<String>,

    #[command(flatten)]
    pub(crate) bandwidth: BandwidthOptions,
}

/// Reads `options`. Returns the limits of one worker.
pub(super) fn read(
    options: &LimitOptions,
    ports: PortRange,
    workers: NonZeroUsize,
    problems: &mut Collector,
) -> Limits {
    let workers = u32::try_from(workers.get()).unwrap_or(u32::MAX);
    let mut of_one = |name: Name, value: &Option<String>, most: u16, default: u16| {
        let wanted = format!("a number from 1 to {most}, such as {default}");
        let number = |text: &str| text.parse().ok().filter(|number| (1..=most).contains(number));
        problems.read(name, value.as_deref(), &wanted, number).unwrap_or(default)
    };
    let default = Limits::default();
    let channels_per_allocation = of_one(
        CHANNELS_PER_ALLOCATION,
        &options.channels_per_allocation,
        CHANNEL_NUMBERS,
        default.channels_per_allocation,
    );
    let permissions_per_allocation = of_one(
        PERMISSIONS_PER_ALLOCATION,
        &options.permissions_per_allocation,
        u16::MAX,
        default.permissions_per_allocation,
    );
    let mut of_all = |name: Name, value: &Option<String>, of_one: u16| {
        // Every worker has room for all that one client may have.
        let greedy = u32::from(of_one).saturating_mul(GREEDY_CLIENTS.max(workers));
        let default = (PER_PORT * u32::from(ports.len())).max(greedy);
        let wanted = format!("a number from 1 on, such as {default}");
        let number = |text: &str| text.parse().ok().filter(|number: &u32| *number != 0);
        problems.read(name, value.as_deref(), &wanted, number).unwrap_or(default).div_ceil(workers)
    };
    Limits {
        channels_per_allocation,
        permissions_per_allocation,
        channels: of_all(MAX_CHANNELS, &options.max_channels, channels_per_allocation),
        permissions: of_all(MAX_PERMISSIONS, &options.max_permissions, permissions_per_allocation),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(options: &LimitOptions, ports: u16, workers: usize) -> Result<Limits, String> {
        let mut problems = Collector::default();
        let ports = PortRange::new(50_000, 50_000 + ports - 1).unwrap();
        let limits = read(options, ports, NonZeroUsize::new(workers).unwrap(), &mut problems);
        problems.finish(Some(limits)).map_err(|problems| problems.to_string())
    }

    #[test]
    fn what_there_is_room_for_follows_the_ports() {
        let room = |ports, workers| {
            let limits = read_all(&LimitOptions::default(), ports, workers).unwrap();
            assert_eq!(limits.channels, limits.permissions);
            limits.channels
        };
        assert_eq!((room(10_000, 1), room(10_000, 2)), (160_000, 80_000));
        assert_eq!((room(1, 1), room(1, 2)), (4 * 4096, 2 * 4096), "a few greedy clients fit in any relay");
        assert_eq!(room(10_000, 1000), 4096, "and one in any worker");
    }

    #[test]
    fn what_is_given_counts_and_workers_share_it() {
        let given = |text: &str| Some(text.to_owned());
        let options = LimitOptions {
            channels_per_allocation: given("100"),
            permissions_per_allocation: given("200"),
            max_channels: given("1001"),
            max_permissions: given("2000"),
            ..LimitOptions::default()
        };
        let limits = read_all(&options, 10_000, 2).unwrap();
        let expected =
            Limits { channels_per_allocation: 100, permissions_per_allocation: 200, channels: 501, permissions: 1000 };
        assert_eq!(limits, expected);
    }

    #[test]
    fn anything_else_is_a_problem_that_says_what_would_be_right() {
        let given = |text: &str| Some(text.to_owned());
        let options = LimitOptions {
            channels_per_allocation: given("16385"),
            permissions_per_allocation: given("0"),
            max_channels: given("many"),
            max_permissions: given("0"),
            ..LimitOptions::default()
        };
        let problems = read_all(&options, 1, 1).unwrap_err();
        for expected in [
            "--channels-per-allocation (CHANNELS_PER_ALLOCATION) is \"16385\": give a number from 1 to 16384, such as 4096",
            "--permissions-per-allocation (PERMISSIONS_PER_ALLOCATION) is \"0\": give a number from 1 to 65535",
            "--max-channels (MAX_CHANNELS) is \"many\": give a number from 1 on, such as 16384",
            "--max-permissions (MAX_PERMISSIONS) is \"0\"",
        ] {
            assert!(problems.contains(expected), "{problems}");
        }
    }
}
