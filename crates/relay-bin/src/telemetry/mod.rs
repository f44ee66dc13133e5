//! Publishes the relay's figures: metrics over OTLP and as Prometheus text, spans over OTLP, the throughput in the log.
//!
//! The data path only adds to counters of its worker. The code here reads their sum at intervals.

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
