//! The recording's options, and what they come to.

use std::path::PathBuf;

use clap::Args;

use crate::problems::{Collector, Name};

const TRACE: Name = Name::new("--record-trace", "RECORD_TRACE");
const SECRET: Name = Name::new("--record-secret", "RECORD_SECRET");
const PAYLOAD_BYTES: Name = Name::new("--record-payload-bytes", "RECORD_PAYLOAD_BYTES");
const MAX_BYTES: Name = Name::new("--record-max-bytes", "RECORD_MAX_BYTES");
const MAX_PACKETS: Name = Name::new("--record-max-packets", "RECORD_MAX_PACKETS");

/// 1 GiB: what a disk can spare, and the playground opens.
const DEFAULT_MAX_BYTES: u64 = 1 << 30;

/// What to record.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RecordOptions {
    /// Record every packet that this process receives and sends into this file, as pcapng, which Wireshark and the playground
    /// open. An existing file is overwritten. What is relayed in the kernel does not pass through this process [default: off]
    #[arg(long, env = "RECORD_TRACE", value_name = "FILE", help_heading = "Recording")]
    pub(crate) record_trace: Option<String>,

    /// Also record the secret, so that the trace can be replayed: true or false. Whoever has the file can then use the relay
    /// until it gets another secret [default: false]
    #[arg(
        long,
        env = "RECORD_SECRET",
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true",
        require_equals = true,
        help_heading = "Recording"
    )]
    pub(crate) record_secret: Option<String>,

    /// How many bytes of each packet's application data to record; headers and STUN messages are always whole [default: all]
    #[arg(long, env = "RECORD_PAYLOAD_BYTES", value_name = "BYTES", help_heading = "Recording")]
    pub(crate) record_payload_bytes: Option<String>,

    /// How long the file may become, in bytes; what comes later is counted only [default: 1073741824]
    #[arg(long, env = "RECORD_MAX_BYTES", value_name = "BYTES", help_heading = "Recording")]
    pub(crate) record_max_bytes: Option<String>,

    /// How many packets to record; what comes later is counted only [default: no limit]
    #[arg(long, env = "RECORD_MAX_PACKETS", value_name = "NUMBER", help_heading = "Recording")]
    pub(crate) record_max_packets: Option<String>,
}

/// How to record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordConfig {
    pub(crate) file: PathBuf,
    pub(crate) with_secret: bool,
    pub(crate) payload_bytes: Option<u32>,
    pub(crate) max_bytes: u64,
    pub(crate) max_packets: Option<u64>,
}

impl RecordConfig {
    /// Reads `options`; `None` when nothing is to be recorded or something is wrong.
    pub(crate) fn read(options: &RecordOptions, problems: &mut Collector) -> Option<Self> {
        let others = [
            (SECRET, &options.record_secret),
            (PAYLOAD_BYTES, &options.record_payload_bytes),
            (MAX_BYTES, &options.record_max_bytes),
            (MAX_PACKETS, &options.record_max_packets),
        ];
        let Some(file) = options.record_trace.as_deref().map(str::trim).filter(|file| !file.is_empty()) else {
            for (name, _) in others.into_iter().filter(|(_, value)| value.is_some()) {
                problems
                    .add(format!("{name} is given without {TRACE}: say where to record, such as /tmp/relay.pcapng"));
            }
            return None;
        };
        let read = |name, value: &Option<String>, problems: &mut Collector| {
            problems.read(name, value.as_deref(), "a number above zero, such as 1000000", |text| {
                text.parse::<u64>().ok().filter(|number| *number > 0)
            })
        };
        let payload_bytes = problems.read(
            PAYLOAD_BYTES,
            options.record_payload_bytes.as_deref(),
            "a number of bytes, such as 64",
            |text| text.parse().ok(),
        );
        let with_secret =
            problems.read(SECRET, options.record_secret.as_deref(), "true or false", |text| text.parse().ok());
        Some(Self {
            file: file.into(),
            with_secret: with_secret.unwrap_or(false),
            payload_bytes,
            max_bytes: read(MAX_BYTES, &options.record_max_bytes, problems).unwrap_or(DEFAULT_MAX_BYTES),
            max_packets: read(MAX_PACKETS, &options.record_max_packets, problems),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &RecordOptions) -> Result<Option<RecordConfig>, String> {
        let mut problems = Collector::default();
        let config = RecordConfig::read(options, &mut problems);
        problems.finish(Some(config)).map_err(|problems| problems.to_string())
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn nothing_is_recorded_unless_a_file_is_named() {
        assert_eq!(read(&RecordOptions::default()), Ok(None));
        assert_eq!(read(&RecordOptions { record_trace: some(" "), ..RecordOptions::default() }), Ok(None));
        let config = read(&RecordOptions { record_trace: some("t.pcapng"), ..RecordOptions::default() });
        let expected = RecordConfig {
            file: "t.pcapng".into(),
            with_secret: false,
            payload_bytes: None,
            max_bytes: 1 << 30,
            max_packets: None,
        };
        assert_eq!(config, Ok(Some(expected)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let options = RecordOptions { record_secret: some("true"), ..RecordOptions::default() };
        assert!(
            read(&options).unwrap_err().contains("--record-secret (RECORD_SECRET) is given without --record-trace")
        );
        let options = RecordOptions {
            record_trace: some("t"),
            record_secret: some("maybe"),
            record_payload_bytes: some("-1"),
            record_max_bytes: some("0"),
            record_max_packets: some("many"),
        };
        let problems = read(&options).unwrap_err();
        for name in ["RECORD_SECRET", "RECORD_PAYLOAD_BYTES", "RECORD_MAX_BYTES", "RECORD_MAX_PACKETS"] {
            assert!(problems.contains(name), "{name} in {problems}");
        }
    }
}
