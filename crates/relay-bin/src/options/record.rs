//! The options of recordings.

use std::{env, path::PathBuf};

use clap::Args;

use super::problems::Collector;
use crate::{
    option_names::Name,
    record::{DEFAULT_MAX_BYTES, Existing, RecordConfig},
};

const TRACE: Name = Name::new("--record-trace", "RECORD_TRACE");
const SECRET: Name = Name::new("--record-secret", "RECORD_SECRET");
const PAYLOAD_BYTES: Name = Name::new("--record-payload-bytes", "RECORD_PAYLOAD_BYTES");
const MAX_BYTES: Name = Name::new("--record-max-bytes", "RECORD_MAX_BYTES");
const MAX_PACKETS: Name = Name::new("--record-max-packets", "RECORD_MAX_PACKETS");

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

    /// How many bytes of each packet's application data to record, that in Send and Data indications included; headers and all else in
    /// STUN messages are always whole [default: all]
    #[arg(long, env = "RECORD_PAYLOAD_BYTES", value_name = "BYTES", help_heading = "Recording")]
    pub(crate) record_payload_bytes: Option<String>,

    /// How long the file may become, in bytes; what comes later is counted only [default: 1073741824]
    #[arg(long, env = "RECORD_MAX_BYTES", value_name = "BYTES", help_heading = "Recording")]
    pub(crate) record_max_bytes: Option<String>,

    /// How many packets to record; what comes later is counted only [default: no limit]
    #[arg(long, env = "RECORD_MAX_PACKETS", value_name = "NUMBER", help_heading = "Recording")]
    pub(crate) record_max_packets: Option<String>,

    /// Where recordings go that are started through the control endpoint, an existing directory, or `off` to refuse them
    /// [default: the system's directory for temporary files]
    #[arg(long, env = "RECORD_DIRECTORY", value_name = "DIRECTORY", help_heading = "Recording")]
    pub(crate) record_directory: Option<String>,
}

impl RecordOptions {
    /// The directory of recordings that are started at run time; `None` refuses them.
    pub(crate) fn directory(&self) -> Option<PathBuf> {
        match self.record_directory.as_deref().map(str::trim).filter(|directory| !directory.is_empty()) {
            Some("off") => None,
            Some(directory) => Some(directory.into()),
            None => Some(env::temp_dir()),
        }
    }
}

/// Reads `options`. `None` if nothing is to be recorded or an error was reported.
pub(crate) fn read(options: &RecordOptions, problems: &mut Collector) -> Option<RecordConfig> {
    let others = [
        (SECRET, &options.record_secret),
        (PAYLOAD_BYTES, &options.record_payload_bytes),
        (MAX_BYTES, &options.record_max_bytes),
        (MAX_PACKETS, &options.record_max_packets),
    ];
    let Some(file) = options.record_trace.as_deref().map(str::trim).filter(|file| !file.is_empty()) else {
        for (name, _) in others.into_iter().filter(|(_, value)| value.is_some()) {
            problems.add(format!("{name} is given without {TRACE}: say where to record, such as /tmp/relay.pcapng"));
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
    Some(RecordConfig {
        file: file.into(),
        with_secret: with_secret.unwrap_or(false),
        payload_bytes,
        max_bytes: read(MAX_BYTES, &options.record_max_bytes, problems).unwrap_or(DEFAULT_MAX_BYTES),
        max_packets: read(MAX_PACKETS, &options.record_max_packets, problems),
        existing: Existing::Overwrite,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &RecordOptions) -> Result<Option<RecordConfig>, String> {
        let mut problems = Collector::default();
        let config = super::read(options, &mut problems);
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
            existing: Existing::Overwrite,
        };
        assert_eq!(config, Ok(Some(expected)));
    }

    #[test]
    fn recordings_at_run_time_go_to_one_directory_or_nowhere() {
        let directory =
            |text: &str| RecordOptions { record_directory: some(text), ..RecordOptions::default() }.directory();
        assert_eq!(directory("/var/traces"), Some("/var/traces".into()));
        assert_eq!(directory("off"), None);
        assert_eq!(directory(" "), Some(env::temp_dir()));
        assert_eq!(
            read(&RecordOptions { record_directory: some("/var/traces"), ..RecordOptions::default() }),
            Ok(None)
        );
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
            record_directory: None,
        };
        let problems = read(&options).unwrap_err();
        for name in ["RECORD_SECRET", "RECORD_PAYLOAD_BYTES", "RECORD_MAX_BYTES", "RECORD_MAX_PACKETS"] {
            assert!(problems.contains(name), "{name} in {problems}");
        }
    }
}
