//! The options of the log.

use clap::Args;
use tracing_subscriber::EnvFilter;

use super::problems::{Collector, Problems};
use crate::{
    logging::{DEFAULT_FILTER, LogFormat, Logging, filter},
    option_names::Name,
};

const LOG_FILTER: Name = Name::new("--log-filter", "RUST_LOG");
const LOG_FORMAT: Name = Name::new("--log-format", "LOG_FORMAT");

/// What to log, and how.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct LoggingOptions {
    /// What to log: error, warn, info, debug or trace, also per module as in `info,firezone_relay::shard=debug`. Addresses
    /// of clients and peers appear from debug on [default: info]
    #[arg(long, env = "RUST_LOG", value_name = "DIRECTIVES", help_heading = "Logging")]
    pub(crate) log_filter: Option<String>,

    /// How to write the log, which goes to stderr: human, json or google-cloud. Nothing waits for whoever reads it: lines that
    /// come faster than they are taken are lost, and counted [default: human]
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT", help_heading = "Logging")]
    pub(crate) log_format: Option<String>,

    /// The Google Cloud project that traces go to, so that LOG_FORMAT=google-cloud can point from log to trace [default: none]
    #[arg(long, env = "GOOGLE_CLOUD_PROJECT_ID", value_name = "PROJECT", help_heading = "Logging")]
    pub(crate) google_cloud_project_id: Option<String>,
}

/// Reads `options`.
///
/// # Errors
///
/// Everything that is wrong with them.
pub(crate) fn read(options: &LoggingOptions) -> Result<Logging, Problems> {
    let mut problems = Collector::default();
    let format =
        problems.read(LOG_FORMAT, options.log_format.as_deref(), "human, json or google-cloud", |text| match text {
            "human" => Some(LogFormat::Human),
            "json" => Some(LogFormat::Json),
            "google-cloud" => Some(LogFormat::GoogleCloud),
            _ => None,
        });
    let given = options.log_filter.as_deref();
    let wanted = "directives such as info or info,firezone_relay::shard=debug";
    let filter = problems.read(LOG_FILTER, given, wanted, |text| filter(text).ok());
    let filter = filter.or_else(|| filter_or_default(given));
    let google_cloud_project = options.google_cloud_project_id.as_deref().map(str::trim);
    problems.finish(filter.map(|filter| Logging {
        format: format.unwrap_or(LogFormat::Human),
        filter,
        google_cloud_project: google_cloud_project.filter(|project| !project.is_empty()).map(str::to_owned),
    }))
}

/// The default filter if none is given; `None` if the given one is wrong.
fn filter_or_default(given: Option<&str>) -> Option<EnvFilter> {
    let is_given = given.is_some_and(|text| !text.trim().is_empty());
    if is_given { None } else { filter(DEFAULT_FILTER).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logging(filter: &str, format: &str) -> Result<Logging, Problems> {
        read(&LoggingOptions {
            log_filter: Some(filter.to_owned()),
            log_format: Some(format.to_owned()),
            google_cloud_project_id: None,
        })
    }

    #[test]
    fn defaults() {
        let logging = read(&LoggingOptions::default()).unwrap();
        assert_eq!(logging.format, LogFormat::Human);
        let filter = logging.filter.to_string();
        assert!(filter.contains("info") && filter.contains("stun_types=off"), "{filter}");
    }

    #[test]
    fn noisy_crates_can_be_asked_for() {
        let filter = logging("debug,stun_types=trace", "json").unwrap().filter.to_string();
        assert!(filter.contains("stun_types=trace") && !filter.contains("stun_types=off"), "{filter}");
    }

    #[test]
    fn problems_are_told() {
        let problems = logging("info,a=loud", "xml").unwrap_err();
        let problems: Vec<_> = problems.iter().collect();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems.iter().any(|problem| problem.contains("RUST_LOG")));
        assert!(problems.iter().any(|problem| problem.contains("LOG_FORMAT")));
    }
}
