//! The record of an ended allocation, as a line in the log and as a span.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use opentelemetry::{
    KeyValue,
    trace::{Span as _, Tracer as _},
};
use opentelemetry_sdk::trace::SdkTracer;
use relay_server::{AllocationPort, Families, RelayAddresses, Relayed, Timestamp};

use super::event::EndReason;
use crate::clock::Clock;

/// The target of these lines for log filters, independent of the source file.
const TARGET: &str = "firezone_relay::accounting";

/// An allocation from its beginning to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) user_id: Arc<str>,
    pub(super) port: AllocationPort,
    pub(super) families: Families,
    pub(super) created_at: Timestamp,
    pub(super) ended_at: Timestamp,
    pub(super) in_user_space: Relayed,
    pub(super) in_kernel: Relayed,
    pub(super) reason: EndReason,
    /// Whether the allocation has ended and every counter of it has been read; otherwise the figures are a lower bound.
    pub(super) is_complete: bool,
}

impl Record {
    fn duration(&self) -> Duration {
        let nanos = self.ended_at.as_nanos().saturating_sub(self.created_at.as_nanos());
        Duration::from_nanos(nanos)
    }

    /// The relayed transport addresses, separated by commas.
    fn relayed_addresses(&self, addresses: &RelayAddresses) -> String {
        let sockets = self.families.iter().filter_map(|family| addresses.socket(family, self.port));
        sockets.map(|socket| socket.to_string()).collect::<Vec<_>>().join(",")
    }

    /// Writes the line. It leaves out the client's address: no line above DEBUG may have it.
    pub(super) fn log(&self, addresses: &RelayAddresses) {
        let (user, kernel) = (self.in_user_space, self.in_kernel);
        tracing::info!(
            target: TARGET,
            user_id = &*self.user_id,
            relayed_address = self.relayed_addresses(addresses),
            duration_seconds = self.duration().as_millis() as f64 / 1e3,
            to_peers_packets = user.to_peers.packets,
            to_peers_bytes = user.to_peers.bytes,
            from_peers_packets = user.from_peers.packets,
            from_peers_bytes = user.from_peers.bytes,
            kernel_to_peers_packets = kernel.to_peers.packets,
            kernel_to_peers_bytes = kernel.to_peers.bytes,
            kernel_from_peers_packets = kernel.from_peers.packets,
            kernel_from_peers_bytes = kernel.from_peers.bytes,
            reason = self.reason.name(),
            complete = self.is_complete,
            "allocation ended"
        );
    }

    /// Exports the span. It ended `now - ended_at` ago.
    pub(super) fn trace(&self, tracer: &SdkTracer, addresses: &RelayAddresses, now: Timestamp) {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let (user, kernel) = (self.in_user_space, self.in_kernel);
        let ago = Duration::from_nanos(now.as_nanos().saturating_sub(self.ended_at.as_nanos()));
        let wall_clock = UNIX_EPOCH + Duration::from_nanos(Clock::unix_nanos());
        let end = wall_clock.checked_sub(ago).unwrap_or(wall_clock);
        let start = end.checked_sub(self.duration()).unwrap_or(end);
        let attributes = vec![
            KeyValue::new("user_id", self.user_id.to_string()),
            KeyValue::new("relayed_address", self.relayed_addresses(addresses)),
            KeyValue::new("to_peers_packets", number(user.to_peers.packets)),
            KeyValue::new("to_peers_bytes", number(user.to_peers.bytes)),
            KeyValue::new("from_peers_packets", number(user.from_peers.packets)),
            KeyValue::new("from_peers_bytes", number(user.from_peers.bytes)),
            KeyValue::new("kernel_to_peers_packets", number(kernel.to_peers.packets)),
            KeyValue::new("kernel_to_peers_bytes", number(kernel.to_peers.bytes)),
            KeyValue::new("kernel_from_peers_packets", number(kernel.from_peers.packets)),
            KeyValue::new("kernel_from_peers_bytes", number(kernel.from_peers.bytes)),
            KeyValue::new("reason", self.reason.name()),
            KeyValue::new("complete", self.is_complete),
        ];
        let builder = tracer.span_builder("allocation").with_start_time(start).with_attributes(attributes);
        builder.start(tracer).end_with_timestamp(end);
    }
}
