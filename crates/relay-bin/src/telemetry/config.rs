//! Where telemetry goes.

use std::{collections::BTreeMap, time::Duration};

use tonic::transport::Endpoint;

/// How long to wait for the collector's answer.
pub(crate) const EXPORT_LIMIT: Duration = Duration::from_secs(5);

/// Where to send telemetry, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct TelemetryConfig {
    pub(crate) endpoint: Endpoint,
    pub(crate) interval: Duration,
    pub(crate) resource: BTreeMap<String, String>,
}
