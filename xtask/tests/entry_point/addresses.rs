//! Public addresses, asked of Google's and EC2's metadata servers.

use super::{
    EC2_BOTH, GCE_IP4, GCE_IP6, NOWHERE, Outcome,
    metadata::{Answer, Server, ec2, gce},
    on_gce, run,
};

/// Runs it where `server` is EC2's metadata server, asking for addresses.
fn on_ec2(server: &Server, variables: &[(&str, &str)]) -> Outcome {
    let url = format!("http://{}/", server.address());
    let mut all =
        vec![("LISTEN_ADDRESS_DISCOVERY_METHOD", "aws_ec2_metadata"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url)];
    all.extend(variables);
    run(&all)
}

#[test]
fn gce_tells_both_addresses() {
    let server = Server::start(gce(&[GCE_IP4, GCE_IP6]));
    let outcome = on_gce(&server, &[]);
    outcome.assert_started();
    assert_eq!(outcome.get("PUBLIC_IP4_ADDR"), Some("203.0.113.7"));
    assert_eq!(outcome.get("PUBLIC_IP6_ADDR"), Some("2001:db8::7"));
    assert!(outcome.stderr.contains("PUBLIC_IP4_ADDR=203.0.113.7"), "{outcome:#?}");
}

#[test]
fn gce_without_one_family_serves_the_other() {
    for (values, ip4, ip6) in [
        (&[GCE_IP4][..], Some("203.0.113.7"), None),
        // An interface without an external address has it, but empty.
        (&[(GCE_IP4.0, ""), GCE_IP6], None, Some("2001:db8::7")),
    ] {
        let server = Server::start(gce(values));
        let outcome = on_gce(&server, &[]);
        outcome.assert_started();
        assert_eq!((outcome.get("PUBLIC_IP4_ADDR"), outcome.get("PUBLIC_IP6_ADDR")), (ip4, ip6));
    }
}

#[test]
fn gce_without_any_address_is_an_error() {
    let server = Server::start(gce(&[]));
    on_gce(&server, &[]).assert_failed(1, &["gce_metadata", "no public address", "PUBLIC_IP4_ADDR"]);
}

#[test]
fn given_addresses_are_kept() {
    let server = Server::start(gce(&[GCE_IP4, GCE_IP6]));
    let outcome = on_gce(&server, &[("PUBLIC_IP4_ADDR", "198.51.100.1"), ("PUBLIC_IP6_ADDR", "")]);
    outcome.assert_started();
    assert_eq!(outcome.get("PUBLIC_IP4_ADDR"), Some("198.51.100.1"));
    assert_eq!(outcome.get("PUBLIC_IP6_ADDR"), Some("2001:db8::7"));
    assert_eq!(server.finish().len(), 1);
}

#[test]
fn nobody_is_asked_when_both_addresses_are_given() {
    let given = [("PUBLIC_IP4_ADDR", "198.51.100.1"), ("PUBLIC_IP6_ADDR", "2001:db8::1")];
    for outcome in [
        {
            let server = Server::start(gce(&[GCE_IP4]));
            let outcome = on_gce(&server, &given);
            assert!(server.finish().is_empty());
            outcome
        },
        {
            let server = Server::start(ec2(&EC2_BOTH));
            let outcome = on_ec2(&server, &given);
            assert!(server.finish().is_empty());
            outcome
        },
    ] {
        outcome.assert_started();
        assert_eq!(outcome.get("PUBLIC_IP4_ADDR"), Some("198.51.100.1"));
    }
}

#[test]
fn an_absent_server_is_an_error_that_says_what_to_do() {
    let url = format!("http://{NOWHERE}");
    let attempts = ("METADATA_ATTEMPTS", "1");
    run(&[("LISTEN_ADDRESS_DISCOVERY_METHOD", "gce_metadata"), ("GCE_METADATA_HOST", NOWHERE), attempts])
        .assert_failed(1, &["gce_metadata", &url, "did not answer", "connect", "PUBLIC_IP4_ADDR", "leave"]);
    run(&[
        ("LISTEN_ADDRESS_DISCOVERY_METHOD", "aws_ec2_metadata"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url),
        attempts,
    ])
    .assert_failed(1, &["aws_ec2_metadata", &url, "did not answer", "connect", "hop limit", "PUBLIC_IP4_ADDR"]);
}

#[test]
fn a_silent_server_is_given_up_on() {
    let limits = [("METADATA_TIMEOUT", "2"), ("METADATA_ATTEMPTS", "2")];
    let server = Server::start(|_, _| Answer::Silence);
    on_gce(&server, &limits).assert_failed(1, &["did not answer", "timed out", "attempt 2 of 2"]);
    assert_eq!(server.finish().len(), 2);
    let server = Server::start(|_, _| Answer::Silence);
    on_ec2(&server, &limits).assert_failed(1, &["did not answer", "timed out", "attempt 2 of 2"]);
    assert_eq!(server.finish().len(), 2);
}

#[test]
fn a_server_that_is_busy_for_a_moment_is_asked_again() {
    let instance = gce(&[GCE_IP4]);
    let server = Server::start(move |before, request| match before {
        0 => Answer::Silence,
        1 => Answer::status(503),
        _ => instance(before, request),
    });
    let outcome = on_gce(&server, &[]);
    outcome.assert_started();
    assert_eq!(outcome.get("PUBLIC_IP4_ADDR"), Some("203.0.113.7"));
}

#[test]
fn a_server_that_stays_busy_is_named() {
    let server = Server::start(|_, _| Answer::status(503));
    on_gce(&server, &[("METADATA_ATTEMPTS", "2")]).assert_failed(1, &["503", "attempt 2 of 2"]);
}

#[test]
fn somebody_else_in_the_place_of_gces_server_is_not_believed() {
    let server = Server::start(|_, _| Answer::ok("203.0.113.7"));
    on_gce(&server, &[]).assert_failed(1, &["Metadata-Flavor: Google", "200"]);
    assert_eq!(server.finish().len(), 1, "asking again does not help");
}

#[test]
fn an_answer_that_is_no_address_is_an_error() {
    for values in [[(GCE_IP4.0, "<html>"), GCE_IP6], [GCE_IP4, (GCE_IP6.0, "fe80::1%eth0")]] {
        let server = Server::start(gce(&values));
        on_gce(&server, &[]).assert_failed(1, &["is no IPv"]);
    }
}

#[test]
fn a_proxy_is_not_asked() {
    let server = Server::start(gce(&[GCE_IP4]));
    let proxy = format!("http://{NOWHERE}");
    on_gce(&server, &[("http_proxy", &proxy), ("all_proxy", &proxy)]).assert_started();
}

#[test]
fn ec2_tells_both_addresses_to_who_has_a_token() {
    let server = Server::start(ec2(&EC2_BOTH));
    let outcome = on_ec2(&server, &[]);
    outcome.assert_started();
    assert_eq!(outcome.get("PUBLIC_IP4_ADDR"), Some("203.0.113.7"));
    assert_eq!(outcome.get("PUBLIC_IP6_ADDR"), Some("2001:db8::7"));
    let asked: Vec<_> =
        server.finish().into_iter().map(|request| format!("{} {}", request.method, request.path)).collect();
    assert_eq!(asked, ["PUT /latest/api/token", "GET /latest/meta-data/public-ipv4", "GET /latest/meta-data/ipv6"]);
}

#[test]
fn ec2_without_one_family_serves_the_other() {
    for (value, ip4, ip6) in [(EC2_BOTH[0], Some("203.0.113.7"), None), (EC2_BOTH[1], None, Some("2001:db8::7"))] {
        let server = Server::start(ec2(&[value]));
        let outcome = on_ec2(&server, &[]);
        outcome.assert_started();
        assert_eq!((outcome.get("PUBLIC_IP4_ADDR"), outcome.get("PUBLIC_IP6_ADDR")), (ip4, ip6));
    }
}

#[test]
fn ec2_with_metadata_switched_off_is_an_error() {
    let server = Server::start(|_, _| Answer::status(403));
    on_ec2(&server, &[]).assert_failed(1, &["/latest/api/token", "403", "switched on"]);
    assert_eq!(server.finish().len(), 1, "asking again does not help");
}

#[test]
fn ec2_that_takes_the_token_back_is_an_error() {
    let server = Server::start(|before, _| if before == 0 { Answer::ok("token") } else { Answer::status(401) });
    on_ec2(&server, &[]).assert_failed(1, &["/latest/meta-data/public-ipv4", "401"]);
}
