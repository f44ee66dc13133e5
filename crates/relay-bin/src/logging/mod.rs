//! What is logged and in which format, and which spans are exported to OpenTelemetry.

mod google_cloud;
mod panics;

use std::{
    fmt,
    io::{self, IsTerminal},
    sync::Arc,
};

use tracing::Level;
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, ParseError, Targets, filter_fn},
    layer::{Filter, SubscriberExt},
    registry, reload,
    util::SubscriberInitExt,
};

use self::google_cloud::GoogleCloud;
use crate::{output::Stream, telemetry::Tracer};

/// The log filter if none is given.
pub(crate) const DEFAULT_FILTER: &str = "info";

/// Precedes the user's directives, which can override it. Crates that log packets of strangers are off, chatty libraries log
/// warnings only.
const QUIET: &str =
    "stun_types=off,stun_proto=off,turn_types=off,h2=warn,hyper=warn,hyper_util=warn,tonic=warn,tower=warn";

/// The target of spans that are exported.
const TRACED: &str = "firezone_relay";

/// The format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Human,
    /// One JSON object on each line.
    Json,
    /// One JSON object on each line, in Google Cloud's format.
    GoogleCloud,
}

/// What to log, and how.
#[derive(Debug)]
pub(crate) struct Logging {
    pub(crate) format: LogFormat,
    pub(crate) filter: EnvFilter,
    pub(crate) google_cloud_project: Option<String>,
}

/// Changes the log filter at run time.
#[derive(Clone)]
pub(crate) struct FilterControl(Arc<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>);

impl FilterControl {
    /// Replaces the log filter by `directives`.
    ///
    /// # Errors
    ///
    /// What is wrong with the directives.
    pub(crate) fn set(&self, directives: &str) -> Result<(), String> {
        let filter = filter(directives).map_err(|error| error.to_string())?;
        (self.0)(filter).map_err(|error| error.to_string())
    }
}

impl fmt::Debug for FilterControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FilterControl")
    }
}

impl Logging {
    /// Starts logging to `stderr` and exporting spans to `tracer`.
    ///
    /// # Errors
    ///
    /// When the process has a logger already.
    pub(crate) fn start(self, tracer: Option<&Tracer>, stderr: &Arc<Stream>) -> anyhow::Result<FilterControl> {
        // The layer would report its own errors to stderr directly, and might block there.
        let layer = tracing_subscriber::fmt::layer().with_writer(Arc::clone(stderr)).log_internal_errors(false);
        let layer = match self.format {
            LogFormat::Human => layer.with_ansi(io::stderr().is_terminal()).boxed(),
            LogFormat::Json => layer.json().flatten_event(true).boxed(),
            LogFormat::GoogleCloud => layer.event_format(GoogleCloud { project: self.google_cloud_project }).boxed(),
        };
        let (filter, handle) = reload::Layer::new(self.filter);
        let filter = logged(filter, tracer.is_some());
        let traces = tracer
            .map(|tracer| tracing_opentelemetry::layer().with_tracer(tracer.subscriber()).with_filter(exported()));
        registry().with(layer.with_filter(filter)).with(traces).try_init()?;
        panics::log(Arc::clone(stderr));
        Ok(FilterControl(Arc::new(move |filter| handle.reload(filter))))
    }
}

/// The filter of the log: `filter`, and all exported spans if `is_traced`, so that a line in one can name its trace.
fn logged<S: 'static>(
    filter: impl Filter<S> + Send + Sync + 'static,
    is_traced: bool,
) -> Box<dyn Filter<S> + Send + Sync> {
    if is_traced { FilterExt::boxed(filter.or(spans_of_traces())) } else { FilterExt::boxed(filter) }
}

/// The filter of the export, independent of the log. Addresses of clients and peers are in no span, and in no event above DEBUG.
fn exported<S>() -> impl Filter<S> {
    let events = Targets::new().with_target(TRACED, Level::INFO);
    events.or(spans_of_traces())
}

/// The spans that are exported. Those of single requests have level DEBUG, since they cost time even when nothing is exported.
fn spans_of_traces<S>() -> impl Filter<S> {
    let of_the_relay = Targets::new().with_target(TRACED, Level::DEBUG);
    of_the_relay.and(filter_fn(|metadata| metadata.is_span()))
}

/// Parses `directives`. What they say about noisy crates takes precedence over [`QUIET`].
///
/// # Errors
///
/// What is wrong with the directives.
pub(crate) fn filter(directives: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().parse(format!("{QUIET},{directives}"))
}

#[cfg(test)]
mod tests {
    use tracing::{event_enabled, span_enabled};

    use super::*;

    #[test]
    fn no_event_with_an_address_is_exported() {
        const TARGET: &str = "firezone_relay::shard::driver";
        let layer = tracing_subscriber::layer::Identity::new().with_filter(exported());
        tracing::subscriber::with_default(registry().with(layer), || {
            assert!(span_enabled!(target: TARGET, Level::DEBUG));
            assert!(event_enabled!(target: TARGET, Level::INFO));
            assert!(!event_enabled!(target: TARGET, Level::DEBUG));
            assert!(!span_enabled!(target: "h2", Level::INFO));
        });
    }

    #[test]
    fn lines_are_in_the_spans_of_traces() {
        const TARGET: &str = "firezone_relay::shard::driver";
        for is_traced in [true, false] {
            let layer = tracing_subscriber::fmt::layer().with_writer(io::sink);
            let layer = layer.with_filter(logged(filter(DEFAULT_FILTER).unwrap(), is_traced));
            tracing::subscriber::with_default(registry().with(layer), || {
                assert_eq!(span_enabled!(target: TARGET, Level::DEBUG), is_traced);
                assert!(event_enabled!(target: TARGET, Level::INFO));
                assert!(!event_enabled!(target: TARGET, Level::DEBUG));
            });
        }
    }
}
