//! The container's entry point, `deploy/docker-init-relay.sh`, against stand-ins for metadata servers: present, absent, slow,
//! and not what they seem.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod addresses;
mod attributes;
mod metadata;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
};

use metadata::{Server, gce};

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
