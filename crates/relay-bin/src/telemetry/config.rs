//! The checked configuration of telemetry.

use std::{collections::BTreeMap, time::Duration};

use tonic::transport::Endpoint;

/// How long to wait for the collector's response.
pub(crate) const EXPORT_LIMIT: Duration = Duration::from_secs(5);

/// Where to send telemetry, how often, and with which resource attributes.
#[derive(Clone, Debug)]
pub(crate) struct TelemetryConfig {
    pub(crate) endpoint: Endpoint,
    pub(crate) interval: Duration,
    pub(crate) resource: BTreeMap<String, String>,
}
