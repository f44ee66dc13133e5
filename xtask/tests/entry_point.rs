//! The container's entry point, `deploy/docker-init-relay.sh`, against stand-ins for metadata servers: present, absent, slow,
//! and not what they seem.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod metadata;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
};

use metadata::{Answer, Server, ec2, gce};

const GCE_IP4: (&str, &str) = ("network-interfaces/0/access-configs/0/external-ip", "203.0.113.7");
const GCE_IP6: (&str, &str) = ("network-interfaces/0/ipv6s", "2001:db8::7\n2001:db8::8\n");
const GCE_WHO: [(&str, &str); 3] =
    [("id", "4520031799277581759"), ("name", "relay-x7k2"), ("zone", "projects/12345/zones/europe-west1-b")];
const EC2_BOTH: [(&str, &str); 2] = [("public-ipv4", "203.0.113.7"), ("ipv6", "2001:db8::7")];

/// Where nobody listens.
const NOWHERE: &str = "127.0.0.1:1";

/// How the entry point ended.
#[derive(Debug)]
struct Outcome {
    code: Option<i32>,
    /// The environment that the command was started with, if it was.
    environment: BTreeMap<String, String>,
    stderr: String,
}

impl Outcome {
    fn get(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str)
    }

    #[track_caller]
    fn assert_started(&self) {
        assert_eq!(self.code, Some(0), "{self:#?}");
        assert!(self.environment.contains_key("PATH"), "{self:#?}");
    }

    /// Ended with `code` before the command was started, with one line that has all of `texts` in it.
    #[track_caller]
    fn assert_failed(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(self.environment.is_empty(), "the command was started: {self:#?}");
        let errors: Vec<&str> = self.stderr.lines().filter(|line| line.contains(": error: ")).collect();
        assert_eq!(errors.len(), 1, "{self:#?}");
        for text in texts {
            assert!(errors[0].contains(text), "{text} is not in {errors:?}");
        }
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("deploy/docker-init-relay.sh")
}

/// The entry point with nothing but `variables` in its environment.
fn entry_point(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(script());
    command.env_clear().env("PATH", env::var_os("PATH").unwrap()).envs(variables.iter().copied()).stdin(Stdio::null());
    command
}

/// Runs it with a command that prints its environment.
fn run(variables: &[(&str, &str)]) -> Outcome {
    let output = entry_point(variables).arg("env").output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let environment = stdout.lines().filter_map(|line| line.split_once('='));
    Outcome {
        code: output.status.code(),
        environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs it where `server` is Google's metadata server, asking for addresses.
fn on_gce(server: &Server, variables: &[(&str, &str)]) -> Outcome {
    let host = server.address().to_string();
    let mut all = vec![("LISTEN_ADDRESS_DISCOVERY_METHOD", "gce_metadata"), ("GCE_METADATA_HOST", &host)];
    all.extend(variables);
    run(&all)
}

/// Runs it where `server` is EC2's metadata server, asking for addresses.
fn on_ec2(server: &Server, variables: &[(&str, &str)]) -> Outcome {
    let url = format!("http://{}/", server.address());
    let mut all =
        vec![("LISTEN_ADDRESS_DISCOVERY_METHOD", "aws_ec2_metadata"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url)];
    all.extend(variables);
    run(&all)
}

/// Runs it where `server` is Google's metadata server, asking for resource attributes.
fn attributes_on_gce(server: &Server, variables: &[(&str, &str)]) -> Outcome {
    let host = server.address().to_string();
    let mut all = vec![("OTEL_METADATA_DISCOVERY_METHOD", "gce_metadata"), ("GCE_METADATA_HOST", &host)];
    all.extend(variables);
    run(&all)
}

#[test]
fn without_a_method_nothing_is_asked_and_nothing_changes() {
    let server = Server::start(gce(&[GCE_IP4]));
    let host = server.address().to_string();
    let outcome = run(&[("GCE_METADATA_HOST", &host), ("LISTEN_ADDRESS_DISCOVERY_METHOD", "")]);
    outcome.assert_started();
    assert_eq!((outcome.get("PUBLIC_IP4_ADDR"), outcome.get("OTEL_RESOURCE_ATTRIBUTES")), (None, None));
    assert!(server.finish().is_empty());
    assert_eq!(outcome.stderr, "");
}

#[test]
fn the_command_takes_the_place_of_the_entry_point_with_its_arguments() {
    let command = ["sh", "-c", r#"echo "$$"; printf '<%s>' "$@"; exit 7"#, "sh", "a  b", "", "*", "--x=$HOME"];
    let child = entry_point(&[]).args(command).stdout(Stdio::piped()).spawn().unwrap();
    let id = child.id();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{id}\n<a  b><><*><--x=$HOME>"));
}

#[test]
fn a_missing_command_is_an_error() {
    let output = entry_point(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("no command is given"));
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

#[test]
fn wrong_variables_are_named_with_right_values() {
    for (name, wrong, right) in [
        ("LISTEN_ADDRESS_DISCOVERY_METHOD", "gce", "gce_metadata"),
        ("OTEL_METADATA_DISCOVERY_METHOD", "aws_ec2_metadata", "gce_metadata"),
        ("METADATA_TIMEOUT", "0", "from 1 to 60"),
        ("METADATA_ATTEMPTS", "3s", "from 1 to 60"),
    ] {
        run(&[(name, wrong)]).assert_failed(2, &[name, wrong, right]);
    }
}

#[test]
fn a_machine_without_curl_is_told_so() {
    let folder = Folder::new("no-curl");
    let path = folder.0.to_str().unwrap();
    // The shell is found by its full path.
    run(&[("LISTEN_ADDRESS_DISCOVERY_METHOD", "gce_metadata"), ("PATH", path)]).assert_failed(2, &["curl", "install"]);
}

#[test]
fn a_token_that_names_a_file_is_what_the_file_says() {
    let folder = Folder::new("token");
    let file = folder.0.join("my token");
    fs::write(&file, "SFMyNTY.g2gDaAN3\n").unwrap();
    let outcome = run(&[("FIREZONE_TOKEN", file.to_str().unwrap())]);
    outcome.assert_started();
    assert_eq!(outcome.get("FIREZONE_TOKEN"), Some("SFMyNTY.g2gDaAN3"));
    assert!(!outcome.stderr.contains("SFMyNTY"), "{outcome:#?}");

    // Kubernetes mounts secrets as links.
    let link = folder.0.join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    assert_eq!(run(&[("FIREZONE_TOKEN", link.to_str().unwrap())]).get("FIREZONE_TOKEN"), Some("SFMyNTY.g2gDaAN3"));

    fs::write(&file, "\n").unwrap();
    run(&[("FIREZONE_TOKEN", file.to_str().unwrap())]).assert_failed(2, &["FIREZONE_TOKEN", "my token", "empty"]);
}

#[test]
fn a_token_that_names_no_file_is_the_token() {
    let outcome = run(&[("FIREZONE_TOKEN", ".SFMyNTY.g2gDaAN3")]);
    outcome.assert_started();
    assert_eq!(outcome.get("FIREZONE_TOKEN"), Some(".SFMyNTY.g2gDaAN3"));
    assert_eq!(outcome.stderr, "");

    let outcome = run(&[("FIREZONE_TOKEN", "/no/such/file")]);
    outcome.assert_started();
    assert_eq!(outcome.get("FIREZONE_TOKEN"), Some("/no/such/file"));
    assert!(outcome.stderr.contains("warning: FIREZONE_TOKEN"), "{outcome:#?}");
    assert!(!outcome.stderr.contains("/no/such"), "it may be a secret: {outcome:#?}");
}

/// A folder of a test's own, until it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = env::temp_dir().join(format!("entry-point-{name}-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
