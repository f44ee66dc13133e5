//! Exports spans over OTLP.

use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::{InstrumentationScope, KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracer, SdkTracerProvider},
};
use tonic::transport::Channel;

use super::{
    config::{EXPORT_LIMIT, TelemetryConfig},
    otlp::{ExporterHealth, SCOPE},
};

/// Sends spans to the collector on a separate thread. If the thread cannot keep up, spans are lost and nothing waits.
#[derive(Clone, Debug)]
pub(crate) struct Tracer {
    provider: SdkTracerProvider,
    exporter_health: ExporterHealth,
}

impl Tracer {
    /// # Errors
    ///
    /// When OpenTelemetry refuses its configuration.
    pub(super) fn new(
        config: &TelemetryConfig,
        channel: Channel,
        exporter_health: ExporterHealth,
    ) -> anyhow::Result<Self> {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_channel(channel)
            .with_timeout(EXPORT_LIMIT)
            .build()
            .context("cannot set up traces")?;
        let attributes = config.resource.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
        let resource = Resource::builder_empty().with_attributes(attributes).build();
        let provider = SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build();
        Ok(Self { provider, exporter_health })
    }

    /// The tracer for a tracing subscriber.
    pub(crate) fn subscriber(&self) -> SdkTracer {
        let scope = InstrumentationScope::builder(SCOPE).with_version(env!("CARGO_PKG_VERSION")).build();
        self.provider.tracer_with_scope(scope)
    }

    /// Sends the remaining spans and stops, unless the collector does not answer.
    pub(crate) fn flush(&self, limit: Duration) {
        if self.exporter_health.is_not_worth_waiting_for() {
            return;
        }
        if let Err(error) = self.provider.shutdown_with_timeout(limit) {
            tracing::debug!(%error, "the last spans are lost");
        }
    }
}
