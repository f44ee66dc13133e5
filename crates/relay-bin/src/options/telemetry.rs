//! The options of telemetry over OTLP.

use std::{collections::BTreeMap, time::Duration};

use clap::Args;
use percent_encoding::percent_decode_str;
use tonic::transport::Endpoint;

use super::{entropy::Entropy, problems::Collector};
use crate::{
    option_names::Name,
    telemetry::{EXPORT_LIMIT, TelemetryConfig},
};

const ENDPOINT: Name = Name::new("--otlp-grpc-endpoint", "OTLP_GRPC_ENDPOINT");
const RESOURCE_ATTRIBUTES: Name = Name::new("--otel-resource-attributes", "OTEL_RESOURCE_ATTRIBUTES");
const EXPORT_INTERVAL: Name = Name::new("--otel-metric-export-interval", "OTEL_METRIC_EXPORT_INTERVAL");

/// The default of OpenTelemetry's specification.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);

/// How long to wait for a connection to the collector.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// Where metrics and traces go, and as whose.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct TelemetryOptions {
    /// The OpenTelemetry collector to send metrics and traces to, over gRPC without TLS [default: none]
    #[arg(long, env = "OTLP_GRPC_ENDPOINT", value_name = "HOST:PORT", help_heading = "Operations")]
    pub(crate) otlp_grpc_endpoint: Option<String>,

    /// The resource attribute service.name of metrics and traces [default: relay]
    #[arg(long, env = "OTEL_SERVICE_NAME", value_name = "NAME", help_heading = "Operations")]
    pub(crate) otel_service_name: Option<String>,

    /// More resource attributes of metrics and traces, as key=value,key=value with percent-encoded values [default: none]
    #[arg(long, env = "OTEL_RESOURCE_ATTRIBUTES", value_name = "ATTRIBUTES", help_heading = "Operations")]
    pub(crate) otel_resource_attributes: Option<String>,

    /// How often to send metrics, in milliseconds [default: 60000]
    #[arg(long, env = "OTEL_METRIC_EXPORT_INTERVAL", value_name = "MILLISECONDS", help_heading = "Operations")]
    pub(crate) otel_metric_export_interval: Option<String>,
}

/// Reads `options`. `None` if there is no collector or an error was reported.
pub(crate) fn read(
    options: &TelemetryOptions,
    entropy: &impl Entropy,
    problems: &mut Collector,
) -> Option<TelemetryConfig> {
    let wanted = "the host and port of an OpenTelemetry collector, such as 127.0.0.1:4317; without TLS";
    let endpoint = problems.read(ENDPOINT, options.otlp_grpc_endpoint.as_deref(), wanted, endpoint);
    let wanted = "a number of milliseconds from 1 on, such as 60000";
    let milliseconds = |text: &str| text.parse().ok().filter(|number| *number > 0).map(Duration::from_millis);
    let interval = problems.read(EXPORT_INTERVAL, options.otel_metric_export_interval.as_deref(), wanted, milliseconds);
    let wanted = "key=value pairs with commas between, such as deployment.environment.name=production,cloud.region=eu";
    let given = problems.read(RESOURCE_ATTRIBUTES, options.otel_resource_attributes.as_deref(), wanted, attributes);
    let endpoint = endpoint?;

    let mut resource: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in
        [("service.name", "relay"), ("service.namespace", "firezone"), ("service.version", env!("CARGO_PKG_VERSION"))]
    {
        resource.insert(name.to_owned(), value.to_owned());
    }
    resource.extend(given.unwrap_or_default());
    if let Some(name) = options.otel_service_name.as_deref().map(str::trim).filter(|name| !name.is_empty()) {
        resource.insert("service.name".to_owned(), name.to_owned());
    }
    // Without it, the figures of several relays would overwrite each other.
    if !resource.contains_key("service.instance.id") {
        resource.insert("service.instance.id".to_owned(), random_uuid(entropy, problems)?);
    }
    Some(TelemetryConfig { endpoint, interval: interval.unwrap_or(DEFAULT_INTERVAL), resource })
}

fn endpoint(text: &str) -> Option<Endpoint> {
    let authority = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let endpoint = Endpoint::from_shared(format!("http://{authority}")).ok()?;
    let uri = endpoint.uri();
    let is_complete = uri.port_u16().is_some_and(|port| port != 0)
        && uri.host().is_some_and(|host| !host.is_empty())
        && uri.path() == "/"
        && uri.query().is_none()
        && !authority.contains('@');
    is_complete.then(|| endpoint.connect_timeout(CONNECT_LIMIT).timeout(EXPORT_LIMIT))
}

fn attributes(text: &str) -> Option<BTreeMap<String, String>> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?.into_owned();
        let name = name.trim();
        (!name.is_empty()).then(|| (name.to_owned(), value))
    };
    // Scripts that append attributes often leave a comma at the end.
    text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(pair).collect()
}

fn random_uuid(entropy: &impl Entropy, problems: &mut Collector) -> Option<String> {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes).map_err(|error| problems.add(error)).ok()?;
    // UUID version 4, variant of RFC 9562.
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::OsEntropy;

    fn read(endpoint: &str, name: &str, attributes: &str) -> Option<TelemetryConfig> {
        let options = TelemetryOptions {
            otlp_grpc_endpoint: Some(endpoint.to_owned()),
            otel_service_name: Some(name.to_owned()),
            otel_resource_attributes: Some(attributes.to_owned()),
            otel_metric_export_interval: None,
        };
        let mut problems = Collector::default();
        let config = super::read(&options, &OsEntropy, &mut problems);
        problems.finish(Some(())).ok().and(config)
    }

    #[test]
    fn the_collector_is_a_host_and_a_port() {
        for good in
            ["127.0.0.1:4317", "collector:4317", "[::1]:4317", "http://collector:4317", "http://collector:4317/"]
        {
            assert!(read(good, "", "").is_some(), "{good}");
        }
        for bad in ["collector", "https://collector:4317", ":4317", "collector:0", "collector:4317/v1", "u@collector:1"]
        {
            assert!(read(bad, "", "").is_none(), "{bad}");
        }
        assert!(read("", "", "").is_none());
    }

    #[test]
    fn resource_attributes_are_overridden_and_added() {
        let resource = read("c:1", "", "").unwrap().resource;
        assert_eq!(resource["service.name"], "relay");
        assert_eq!(resource["service.namespace"], "firezone");
        assert_eq!(resource["service.instance.id"].len(), 36);

        let resource =
            read("c:1", "", "service.name=a, cloud.region=eu%2C%20west,service.instance.id=7,").unwrap().resource;
        assert_eq!(resource["service.name"], "a");
        assert_eq!(resource["service.namespace"], "firezone");
        assert_eq!(resource["service.instance.id"], "7");
        assert_eq!(resource["cloud.region"], "eu, west");

        let resource = read("c:1", "b", "service.name=a,service.namespace=n").unwrap().resource;
        assert_eq!((resource["service.name"].as_str(), resource["service.namespace"].as_str()), ("b", "n"));
    }

    #[test]
    fn every_relay_is_an_instance_of_its_own() {
        let id = || read("c:1", "", "").unwrap().resource["service.instance.id"].clone();
        assert_ne!(id(), id());
    }
}
