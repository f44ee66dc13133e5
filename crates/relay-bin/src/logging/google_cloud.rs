//! Formats the log for [Google Cloud's logging agents](https://cloud.google.com/logging/docs/structured-logging): one JSON object
//! on each line.

use std::fmt;

use opentelemetry::trace::{SpanId, TraceContextExt as _, TraceId};
use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber, dispatcher,
    field::{Field, Visit},
};
use tracing_opentelemetry::get_otel_context;
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

/// Formats events for Google Cloud.
#[derive(Clone, Debug)]
pub(super) struct GoogleCloud {
    /// The project that holds the traces. Without it, log entries have no link to their trace.
    pub(super) project: Option<String>,
}

impl<S, N> FormatEvent<S, N> for GoogleCloud
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let span = context.lookup_current();
        let ids = span.as_ref().and_then(|span| {
            let context = dispatcher::get_default(|dispatch| get_otel_context(&span.id(), dispatch))?;
            let ids = context.span().span_context().clone();
            ids.is_valid().then(|| (ids.trace_id(), ids.span_id()))
        });
        let mut fields = Fields::default();
        event.record(&mut fields);
        let entry = Entry {
            time,
            level: *event.metadata().level(),
            target: event.metadata().target(),
            span: span.as_ref().map(|span| span.name()),
            ids,
            project: self.project.as_deref(),
        };
        writeln!(writer, "{}", Value::Object(entry.object(fields.0)))
    }
}

/// The parts of a log entry besides the event's own fields.
struct Entry<'e> {
    time: String,
    level: Level,
    target: &'e str,
    span: Option<&'e str>,
    ids: Option<(TraceId, SpanId)>,
    project: Option<&'e str>,
}

impl Entry<'_> {
    fn object(self, fields: Map<String, Value>) -> Map<String, Value> {
        let mut object = fields;
        // Set after the event's fields, so that none of them replaces what the agent reads.
        let mut set = |name: &str, value: String| object.insert(name.to_owned(), Value::String(value));
        set("time", self.time);
        set("severity", severity(self.level).to_owned());
        set("target", self.target.to_owned());
        if let Some(span) = self.span {
            set("span", span.to_owned());
        }
        if let (Some((trace, span)), Some(project)) = (self.ids, self.project) {
            set("logging.googleapis.com/trace", format!("projects/{project}/traces/{trace}"));
            set("logging.googleapis.com/spanId", span.to_string());
        }
        object
    }
}

/// The [LogSeverity](https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#LogSeverity) of a level.
const fn severity(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        // Google Cloud has no lower severity.
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}

/// Collects an event's fields as JSON. The event's text is the field `message`.
#[derive(Debug, Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(project: Option<&'static str>) -> Entry<'static> {
        let ids = (TraceId::from(0xabcd_u128), SpanId::from(0x12_u64));
        Entry {
            time: "2026-01-02T03:04:05.678901Z".to_owned(),
            level: Level::WARN,
            target: "firezone_relay::portal",
            span: Some("portal_registration"),
            ids: Some(ids),
            project,
        }
    }

    #[test]
    fn what_the_agent_reads_has_the_names_that_it_reads() {
        let fields = [("message", "hello".into()), ("severity", "made up".into()), ("count", 7.into())];
        let object = entry(Some("acme"))
            .object(fields.map(|(name, value): (&str, Value)| (name.to_owned(), value)).into_iter().collect());
        assert_eq!(object["message"], "hello");
        assert_eq!(object["severity"], "WARNING");
        assert_eq!(object["time"], "2026-01-02T03:04:05.678901Z");
        assert_eq!(object["count"], 7);
        assert_eq!(object["logging.googleapis.com/trace"], "projects/acme/traces/0000000000000000000000000000abcd");
        assert_eq!(object["logging.googleapis.com/spanId"], "0000000000000012");
    }

    #[test]
    fn without_a_project_there_is_no_trace_to_point_to() {
        let object = entry(None).object(Map::new());
        assert!(!object.keys().any(|name| name.starts_with("logging.googleapis.com/")));
    }
}
