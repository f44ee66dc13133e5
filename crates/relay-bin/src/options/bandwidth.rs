//! The options that limit the bandwidth.

use std::num::{NonZeroU64, NonZeroUsize};

use clap::Args;
use relay_server::{Bandwidth, Rate};

use super::problems::Collector;
use crate::option_names::Name;

const BANDWIDTH_PER_ALLOCATION: Name = Name::new("--bandwidth-per-allocation", "BANDWIDTH_PER_ALLOCATION");
const BANDWIDTH_PER_USERNAME: Name = Name::new("--bandwidth-per-username", "BANDWIDTH_PER_USERNAME");
const MAX_BANDWIDTH: Name = Name::new("--max-bandwidth", "MAX_BANDWIDTH");
const PACKET_RATE_PER_ALLOCATION: Name = Name::new("--packet-rate-per-allocation", "PACKET_RATE_PER_ALLOCATION");
const PACKET_RATE_PER_USERNAME: Name = Name::new("--packet-rate-per-username", "PACKET_RATE_PER_USERNAME");
const MAX_PACKET_RATE: Name = Name::new("--max-packet-rate", "MAX_PACKET_RATE");

/// 100 Gbit/s, in bytes.
const MOST_BYTES: u64 = 12_500_000_000;
const MOST_PACKETS: u64 = 1_000_000_000;

/// How much is relayed.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct BandwidthOptions {
    /// How much application data one allocation may relay per second, in each direction, such as 2MB, 16Mbit or 500kB; a second's
    /// worth, and 64 KiB at least, at once. What is more is dropped. With any of these limits all is relayed in user space, whatever
    /// EBPF_OFFLOADING says [default: no limit]
    #[arg(long, env = "BANDWIDTH_PER_ALLOCATION", value_name = "RATE", help_heading = "Limits")]
    pub(crate) bandwidth_per_allocation: Option<String>,

    /// The same for all allocations of one user together. Where they are on several workers, each worker grants the part that its
    /// allocations are of all [default: no limit]
    #[arg(long, env = "BANDWIDTH_PER_USERNAME", value_name = "RATE", help_heading = "Limits")]
    pub(crate) bandwidth_per_username: Option<String>,

    /// The same for all allocations together. The workers divide it equally, so it is reached in full when all have enough to
    /// relay [default: no limit]
    #[arg(long, env = "MAX_BANDWIDTH", value_name = "RATE", help_heading = "Limits")]
    pub(crate) max_bandwidth: Option<String>,

    /// How many packets one allocation may relay per second, in each direction [default: no limit]
    #[arg(long, env = "PACKET_RATE_PER_ALLOCATION", value_name = "NUMBER", help_heading = "Limits")]
    pub(crate) packet_rate_per_allocation: Option<String>,

    /// The same for all allocations of one user together, divided as --bandwidth-per-username is [default: no limit]
    #[arg(long, env = "PACKET_RATE_PER_USERNAME", value_name = "NUMBER", help_heading = "Limits")]
    pub(crate) packet_rate_per_username: Option<String>,

    /// The same for all allocations together, divided as --max-bandwidth is [default: no limit]
    #[arg(long, env = "MAX_PACKET_RATE", value_name = "NUMBER", help_heading = "Limits")]
    pub(crate) max_packet_rate: Option<String>,
}

/// Reads `options`. Returns the limits of one of `workers`.
pub(super) fn read(options: &BandwidthOptions, workers: NonZeroUsize, problems: &mut Collector) -> Bandwidth {
    let mut bytes = |name: Name, value: &Option<String>| {
        let wanted = "bytes per second such as 2MB or 500kB, or bits such as 16Mbit, up to 100Gbit, or 0 for no limit";
        problems.read(name, value.as_deref(), wanted, parse_bytes).and_then(NonZeroU64::new)
    };
    let [allocation_bytes, user_bytes, total_bytes] = [
        bytes(BANDWIDTH_PER_ALLOCATION, &options.bandwidth_per_allocation),
        bytes(BANDWIDTH_PER_USERNAME, &options.bandwidth_per_username),
        bytes(MAX_BANDWIDTH, &options.max_bandwidth),
    ];
    let mut packets = |name: Name, value: &Option<String>| {
        let wanted = "packets per second, such as 5000, or 0 for no limit";
        let number = |text: &str| text.parse().ok().filter(|number| *number <= MOST_PACKETS);
        problems.read(name, value.as_deref(), wanted, number).and_then(NonZeroU64::new)
    };
    let [allocation_packets, user_packets, total_packets] = [
        packets(PACKET_RATE_PER_ALLOCATION, &options.packet_rate_per_allocation),
        packets(PACKET_RATE_PER_USERNAME, &options.packet_rate_per_username),
        packets(MAX_PACKET_RATE, &options.max_packet_rate),
    ];
    Bandwidth {
        per_allocation: Rate { bytes: allocation_bytes, packets: allocation_packets },
        per_user: Rate { bytes: user_bytes, packets: user_packets },
        total: Rate { bytes: total_bytes, packets: total_packets }.part(1, workers.get() as u64),
    }
}

/// Parses `500`, `500kB`, `2MB` or `1GB` bytes per second, or `64kbit`, `16Mbit` or `1Gbit` bits per second.
fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (times, by) = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => (1, 1),
        "kb" => (1_000, 1),
        "mb" => (1_000_000, 1),
        "gb" => (1_000_000_000, 1),
        "kbit" => (1_000, 8),
        "mbit" => (1_000_000, 8),
        "gbit" => (1_000_000_000, 8),
        _ => return None,
    };
    let rate = number.parse::<u64>().ok()?.checked_mul(times)? / by;
    (rate <= MOST_BYTES).then_some(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(options: &BandwidthOptions, workers: usize) -> Result<Bandwidth, String> {
        let mut problems = Collector::default();
        let bandwidth = read(options, NonZeroUsize::new(workers).unwrap(), &mut problems);
        problems.finish(Some(bandwidth)).map_err(|problems| problems.to_string())
    }

    #[test]
    fn units() {
        for (text, bytes) in [
            ("0", 0),
            ("500", 500),
            ("500 B", 500),
            ("500kB", 500_000),
            ("2MB", 2_000_000),
            ("1GB", 1_000_000_000),
            ("64kbit", 8_000),
            ("16Mbit", 2_000_000),
            ("100Gbit", MOST_BYTES),
        ] {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
        for text in ["", "MB", "-1", "1.5MB", "2M", "2 MiB", "101Gbit", "18446744073709551615GB"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn nothing_is_limited_unless_asked_for_and_workers_divide_the_total() {
        assert!(!read_all(&BandwidthOptions::default(), 2).unwrap().is_limited());
        let given = |text: &str| Some(text.to_owned());
        let options = BandwidthOptions {
            bandwidth_per_allocation: given("16Mbit"),
            bandwidth_per_username: given("0"),
            max_bandwidth: given("1GB"),
            packet_rate_per_allocation: given(""),
            packet_rate_per_username: given("100"),
            max_packet_rate: given("1"),
        };
        let rate = |bytes, packets| Rate { bytes: NonZeroU64::new(bytes), packets: NonZeroU64::new(packets) };
        let expected =
            Bandwidth { per_allocation: rate(2_000_000, 0), per_user: rate(0, 100), total: rate(500_000_000, 1) };
        assert_eq!(read_all(&options, 2).unwrap(), expected);
    }

    #[test]
    fn anything_else_is_a_problem_that_says_what_would_be_right() {
        let given = |text: &str| Some(text.to_owned());
        let options = BandwidthOptions {
            max_bandwidth: given("fast"),
            packet_rate_per_username: given("1k"),
            ..BandwidthOptions::default()
        };
        let problems = read_all(&options, 1).unwrap_err();
        for expected in [
            "--max-bandwidth (MAX_BANDWIDTH) is \"fast\": give bytes per second such as 2MB",
            "--packet-rate-per-username (PACKET_RATE_PER_USERNAME) is \"1k\": give packets per second, such as 5000",
        ] {
            assert!(problems.contains(expected), "{problems}");
        }
    }
}
