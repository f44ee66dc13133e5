//! Formats the instruments as [Prometheus text](https://prometheus.io/docs/instrumenting/exposition_formats/), with the names that
//! OpenTelemetry's collector would give them.

use std::fmt::Write as _;

use super::{
    instrument::{Instrument, Kind},
    instruments::instruments,
    observer::Snapshot,
    points::{Attributes, Distribution, Points},
};

/// The HTTP content type.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All instruments with their values.
pub(crate) fn render(now: &Snapshot) -> String {
    let mut text = String::new();
    for instrument in instruments() {
        // Writing to a string cannot fail.
        let _ = write_instrument(&mut text, instrument, now);
    }
    text
}

/// An instrument's name in Prometheus.
pub(super) fn name(instrument: &Instrument) -> String {
    let mut name = instrument.name.to_owned();
    if instrument.unit == "By" && !name.ends_with("_bytes") {
        name.push_str("_bytes");
    }
    if instrument.kind == Kind::Counter {
        name.push_str("_total");
    }
    name
}

fn write_instrument(text: &mut String, instrument: &Instrument, now: &Snapshot) -> std::fmt::Result {
    let name = name(instrument);
    let kind = match instrument.kind {
        Kind::Counter => "counter",
        Kind::UpDownCounter | Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    writeln!(text, "# HELP {name} {}", instrument.description)?;
    writeln!(text, "# TYPE {name} {kind}")?;
    match (instrument.read)(now) {
        Points::Numbers(points) => {
            for (attributes, value) in points {
                writeln!(text, "{name}{} {value}", labels(&attributes))?;
            }
        }
        Points::Histogram(Distribution { bounds, counts, sum }) => {
            let mut total = 0;
            for (bound, count) in bounds.iter().zip(&counts) {
                total += count;
                writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {total}")?;
            }
            writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {total}")?;
            writeln!(text, "{name}_sum {sum}")?;
            writeln!(text, "{name}_count {total}")?;
        }
    }
    Ok(())
}

fn labels(attributes: &Attributes) -> String {
    if attributes.is_empty() {
        return String::new();
    }
    let escaped = |value: &str| value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
    let labels: Vec<String> = attributes.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", labels.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::instruments::tests::busy;

    #[test]
    fn every_kind_is_written_as_prometheus_reads_it() {
        let text = render(&busy());
        for line in [
            "# TYPE data_relayed_userspace_bytes_total counter",
            "data_relayed_userspace_bytes_total 1300",
            "data_relayed_ebpf_bytes_total 77",
            "# TYPE active_allocations gauge",
            "active_allocations 2",
            "responses_total{response_class=\"error\",message_type=\"allocate\",error_code=\"437\"} 1",
            "responses_total{response_class=\"success\",message_type=\"allocate\"} 3",
            "# TYPE relayed_packet_size_bytes histogram",
            "relayed_packet_size_bytes_bucket{le=\"64\"} 0",
            "relayed_packet_size_bytes_bucket{le=\"128\"} 1",
            "relayed_packet_size_bytes_bucket{le=\"2048\"} 2",
            "relayed_packet_size_bytes_bucket{le=\"+Inf\"} 2",
            "relayed_packet_size_bytes_sum 1300",
            "relayed_packet_size_bytes_count 2",
            "ebpf_packets_total{verdict=\"passed\",reason=\"no_route\"} 5",
            "portal_state{state=\"standalone\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n is not in\n{text}");
        }
    }

    #[test]
    fn label_values_are_escaped() {
        assert_eq!(labels(&vec![("a", "b\"c\\d\ne".into())]), r#"{a="b\"c\\d\ne"}"#);
    }
}
