//! What the relay tells of itself: metrics over OTLP and as Prometheus text, spans over OTLP, a line of throughput in the log.
//!
//! The data path only adds to plain counters of its own worker; everything here reads their sum now and then.

mod config;
mod instrument;
mod instruments;
mod observer;
mod otlp;
mod points;
pub(crate) mod prometheus;
pub(crate) mod throughput;
mod traces;

pub(crate) use self::{
    config::{EXPORT_LIMIT, TelemetryConfig},
    observer::Observer,
    otlp::{PROMPT, Telemetry},
    traces::Tracer,
};
