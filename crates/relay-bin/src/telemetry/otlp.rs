//! Sends metrics over OTLP. They are made from the table of instruments and the sum of the counters. OpenTelemetry's meters would
//! need a call for each value of a histogram, and so for each packet.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::metrics::v1::{ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
        ScopeMetrics, Sum, metric, number_data_point,
    },
    resource::v1::Resource,
};
use tokio::{
    sync::oneshot,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tonic::transport::Channel;

use super::{
    config::{EXPORT_LIMIT, TelemetryConfig},
    instrument::{Instrument, Kind},
    instruments::instruments,
    observer::{Observer, Snapshot},
    points::{Attributes, Distribution, Points},
    traces::Tracer,
};
use crate::faults::Part;

/// The name of the meter.
pub(super) const SCOPE: &str = "relay";

/// How long one attempt may take in all, including the look-up of the collector's name.
const ATTEMPT_LIMIT: Duration = EXPORT_LIMIT.saturating_add(Duration::from_secs(3));

/// The relay waits no longer than this for the collector when it ends. A working collector answers within this time.
pub(crate) const PROMPT: Duration = Duration::from_millis(500);

/// Whether the collector has accepted the last export, and in time.
#[derive(Clone, Debug, Default)]
pub(super) struct ExporterHealth(Arc<AtomicU8>);

impl ExporterHealth {
    const WORKS: u8 = 1;
    const SLOW: u8 = 2;
    const FAILS: u8 = 3;

    /// Whether to skip the last export: the collector has not answered yet, or not lately.
    pub(super) fn is_not_worth_waiting_for(&self) -> bool {
        self.0.load(Ordering::Relaxed) != Self::WORKS
    }

    /// Records that an answer is overdue.
    fn note_slow(&self) {
        let _ = self.0.compare_exchange(Self::WORKS, Self::SLOW, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Records a result. Returns whether the state changed.
    fn note(&self, works: bool) -> bool {
        let state = if works { Self::WORKS } else { Self::FAILS };
        match self.0.swap(state, Ordering::Relaxed) {
            // A late success is no change.
            Self::SLOW => !works,
            before => before != state,
        }
    }
}

/// Sends metrics and spans to a collector.
#[derive(Debug)]
pub(crate) struct Telemetry {
    config: TelemetryConfig,
    client: MetricsServiceClient<Channel>,
    tracer: Tracer,
    exporter_health: ExporterHealth,
}

impl Telemetry {
    /// Prepares the exporters. They connect when there is something to send. Must be called in a runtime.
    ///
    /// # Errors
    ///
    /// When OpenTelemetry refuses its configuration.
    pub(crate) fn new(config: &TelemetryConfig) -> anyhow::Result<Self> {
        let channel = config.endpoint.connect_lazy();
        let exporter_health = ExporterHealth::default();
        Ok(Self {
            config: config.clone(),
            client: MetricsServiceClient::new(channel.clone()),
            tracer: Tracer::new(config, channel, exporter_health.clone())?,
            exporter_health,
        })
    }

    /// The exporter of spans.
    pub(crate) fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    /// Sends metrics at intervals until it is stopped. Then sends them once more if the collector has answered before.
    pub(crate) async fn run(&mut self, observer: &Observer, mut stopped: oneshot::Receiver<()>) {
        let mut ticks = interval(self.config.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let export = async {
                ticks.tick().await;
                self.export(observer, ATTEMPT_LIMIT).await;
            };
            tokio::select! {
                biased;
                _ = &mut stopped => break,
                () = export => {}
            }
        }
        if !self.exporter_health.is_not_worth_waiting_for() {
            self.export(observer, PROMPT).await;
        }
    }

    async fn export(&mut self, observer: &Observer, limit: Duration) {
        let request = request(&self.config, &observer.snapshot());
        let exporter_health = self.exporter_health.clone();
        let overdue = async move {
            sleep(PROMPT).await;
            exporter_health.note_slow();
            std::future::pending().await
        };
        let answer = async {
            tokio::select! {
                answer = self.client.export(request) => answer,
                never = overdue => never,
            }
        };
        let result = match timeout(limit, answer).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => Err(status.message().to_owned()),
            Err(_) => Err("no answer in time".to_owned()),
        };
        if result.is_err() {
            observer.faults.note(Part::Collector);
        }
        let is_news = self.exporter_health.note(result.is_ok());
        let collector = self.config.endpoint.uri().authority().map(ToString::to_string);
        match result {
            Ok(()) if is_news => tracing::info!(collector, "the OpenTelemetry collector takes metrics"),
            Ok(()) => {}
            Err(error) if is_news => {
                tracing::warn!(collector, error, "cannot send metrics to the OpenTelemetry collector; trying on");
            }
            Err(error) => tracing::debug!(collector, error, "still cannot send metrics"),
        }
    }
}

fn request(config: &TelemetryConfig, now: &Snapshot) -> ExportMetricsServiceRequest {
    let attributes = config.resource.iter().map(|(name, value)| attribute(name, value)).collect();
    let scope = InstrumentationScope {
        name: SCOPE.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let scope_metrics = ScopeMetrics {
        scope: Some(scope),
        metrics: instruments().map(|instrument| to_metric(instrument, now)).collect(),
        schema_url: String::new(),
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_metrics: vec![scope_metrics],
            schema_url: String::new(),
        }],
    }
}

fn to_metric(instrument: &Instrument, now: &Snapshot) -> Metric {
    let aggregation_temporality = AggregationTemporality::Cumulative.into();
    let data = match (instrument.read)(now) {
        Points::Numbers(points) => {
            let data_points = points.iter().map(|(attributes, value)| to_number(attributes, *value, now)).collect();
            match instrument.kind {
                Kind::Counter => metric::Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic: true }),
                Kind::UpDownCounter => {
                    metric::Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic: false })
                }
                Kind::Gauge | Kind::Histogram => metric::Data::Gauge(Gauge { data_points }),
            }
        }
        Points::Histogram(distribution) => metric::Data::Histogram(Histogram {
            data_points: vec![to_histogram(&distribution, now)],
            aggregation_temporality,
        }),
    };
    Metric {
        name: instrument.name.to_owned(),
        description: instrument.description.to_owned(),
        unit: instrument.unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn to_number(attributes: &Attributes, value: u64, now: &Snapshot) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes.iter().map(|(name, value)| attribute(name, value)).collect(),
        start_time_unix_nano: now.start_unix_nanos,
        time_unix_nano: now.unix_nanos,
        value: Some(number_data_point::Value::AsInt(i64::try_from(value).unwrap_or(i64::MAX))),
        ..NumberDataPoint::default()
    }
}

#[expect(clippy::cast_precision_loss, reason = "OTLP has the sum and the bounds as floating-point numbers")]
fn to_histogram(distribution: &Distribution, now: &Snapshot) -> HistogramDataPoint {
    let mut bucket_counts = distribution.counts.clone();
    // The bucket above the last bound.
    bucket_counts.push(0);
    HistogramDataPoint {
        start_time_unix_nano: now.start_unix_nanos,
        time_unix_nano: now.unix_nanos,
        count: bucket_counts.iter().sum(),
        sum: Some(distribution.sum as f64),
        bucket_counts,
        explicit_bounds: distribution.bounds.iter().map(|bound| *bound as f64).collect(),
        ..HistogramDataPoint::default()
    }
}

fn attribute(name: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: name.to_owned(), value: Some(value), ..KeyValue::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::instruments::tests::busy;

    fn metric(name: &str) -> metric::Data {
        let instrument = instruments().find(|instrument| instrument.name == name).unwrap();
        to_metric(instrument, &busy()).data.unwrap()
    }

    #[test]
    fn counters_are_cumulative_monotonic_sums() {
        let metric::Data::Sum(sum) = metric("data_relayed_ebpf_bytes") else { panic!("not a sum") };
        assert!(sum.is_monotonic);
        assert_eq!(sum.aggregation_temporality(), AggregationTemporality::Cumulative);
        let point = &sum.data_points[0];
        assert_eq!(point.value, Some(number_data_point::Value::AsInt(77)));
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (1, 2));
        let metric::Data::Sum(sum) = metric("active_allocations") else { panic!("not a sum") };
        assert!(!sum.is_monotonic);
        assert!(matches!(metric("portal_state"), metric::Data::Gauge(_)));
    }

    #[test]
    fn histograms_have_one_bucket_more_than_bounds() {
        let metric::Data::Histogram(histogram) = metric("relayed_packet_size") else { panic!("not a histogram") };
        let point = &histogram.data_points[0];
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        assert_eq!((point.count, point.sum), (2, Some(1300.0)));
    }

    #[test]
    fn the_same_result_again_is_no_news() {
        let exporter_health = ExporterHealth::default();
        assert!(exporter_health.is_not_worth_waiting_for(), "nobody waits for one that has never answered");
        assert!(exporter_health.note(false) && exporter_health.is_not_worth_waiting_for());
        assert!(!exporter_health.note(false));
        assert!(exporter_health.note(true) && !exporter_health.is_not_worth_waiting_for());
        assert!(!exporter_health.note(true));
    }

    #[test]
    fn nobody_waits_for_a_collector_whose_answer_is_overdue() {
        let exporter_health = ExporterHealth::default();
        exporter_health.note(true);
        exporter_health.note_slow();
        assert!(exporter_health.is_not_worth_waiting_for());
        assert!(
            !exporter_health.note(true) && !exporter_health.is_not_worth_waiting_for(),
            "it came in the end, which is no news"
        );
        exporter_health.note_slow();
        assert!(exporter_health.note(false) && exporter_health.is_not_worth_waiting_for());
        exporter_health.note_slow();
        assert!(!exporter_health.note(false), "it failed before");
    }
}
