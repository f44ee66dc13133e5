//! Resource attributes for telemetry, asked of Google's metadata server.

use super::{
    GCE_IP4, GCE_WHO, Outcome,
    metadata::{Answer, Server, gce},
    on_gce, run,
};

/// Runs it where `server` is Google's metadata server, asking for resource attributes.
fn attributes_on_gce(server: &Server, variables: &[(&str, &str)]) -> Outcome {
    let host = server.address().to_string();
    let mut all = vec![("OTEL_METADATA_DISCOVERY_METHOD", "gce_metadata"), ("GCE_METADATA_HOST", &host)];
    all.extend(variables);
    run(&all)
}

#[test]
fn gce_tells_resource_attributes() {
    let server = Server::start(gce(&GCE_WHO));
    let outcome = attributes_on_gce(&server, &[]);
    outcome.assert_started();
    assert_eq!(
        outcome.get("OTEL_RESOURCE_ATTRIBUTES"),
        Some("service.instance.id=4520031799277581759,gcp.gce.instance.name=relay-x7k2,cloud.region=europe-west1")
    );
}

#[test]
fn given_resource_attributes_win_and_the_others_are_added() {
    let server = Server::start(gce(&GCE_WHO));
    let outcome =
        attributes_on_gce(&server, &[("OTEL_RESOURCE_ATTRIBUTES", "a=b, cloud.region=home,my.service.instance.id=1")]);
    outcome.assert_started();
    assert_eq!(
        outcome.get("OTEL_RESOURCE_ATTRIBUTES"),
        Some(
            "a=b, cloud.region=home,my.service.instance.id=1,service.instance.id=4520031799277581759,\
             gcp.gce.instance.name=relay-x7k2"
        )
    );
}

#[test]
fn an_attribute_without_a_usable_value_is_left_out() {
    let server = Server::start(gce(&[GCE_WHO[0], ("name", "a,b=c"), GCE_WHO[2]]));
    let outcome = attributes_on_gce(&server, &[]);
    outcome.assert_started();
    assert_eq!(
        outcome.get("OTEL_RESOURCE_ATTRIBUTES"),
        Some("service.instance.id=4520031799277581759,cloud.region=europe-west1")
    );
    assert!(outcome.stderr.contains("warning:") && outcome.stderr.contains("gcp.gce.instance.name"), "{outcome:#?}");
}

#[test]
fn the_relay_starts_without_attributes_where_nobody_tells_them() {
    let limits = [("METADATA_TIMEOUT", "1"), ("METADATA_ATTEMPTS", "1"), ("OTEL_RESOURCE_ATTRIBUTES", "a=b")];
    let outcome = attributes_on_gce(&Server::start(|_, _| Answer::Silence), &limits);
    outcome.assert_started();
    assert_eq!(outcome.get("OTEL_RESOURCE_ATTRIBUTES"), Some("a=b"));
    assert!(outcome.stderr.contains("warning:") && outcome.stderr.contains("going on without"), "{outcome:#?}");
}

#[test]
fn both_discoveries_work_together() {
    let server = Server::start(gce(&[&[GCE_IP4][..], &GCE_WHO].concat()));
    let outcome = on_gce(&server, &[("OTEL_METADATA_DISCOVERY_METHOD", "gce_metadata")]);
    outcome.assert_started();
    assert_eq!(outcome.get("PUBLIC_IP4_ADDR"), Some("203.0.113.7"));
    assert!(outcome.get("OTEL_RESOURCE_ATTRIBUTES").unwrap().ends_with("cloud.region=europe-west1"));
}
