//! Clients that are programs: they get the server's address as arguments, and report success by their exit status.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use test_support::{
    capability::{can, has_python_package, python, runs},
    relay::minted,
};

use crate::place::Place;

/// The directory of the clients' sources.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/webrtc");

/// Where Debian's packages install Go sources.
const GO_SOURCES: &str = "/usr/share/gocode";

fn source(name: &str) -> String {
    format!("{SOURCES}/{name}")
}

/// The path of a built program.
fn built(name: &str) -> String {
    format!("{}/webrtc-{name}", env!("CARGO_TARGET_TMPDIR"))
}

/// Builds a program with `command`, which must succeed.
fn build(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs `program FIRST... HOST PORT USERNAME PASSWORD LAST...`. Checks that all 1,000 messages arrived each way, and that the relay
/// goes on.
fn exchanges_messages(mut place: Place, program: &str, first: &[&str], last: &[&str]) {
    let (port, user) = (place.relay.port.to_string(), minted("interop"));
    let server = [place.host, &port, &user.username, &user.password];
    let (output, text) = place.run(program, &[first, &server, last].concat());
    assert!(output.status.success(), "{}\n{text}", output.status);
    assert!(text.contains("1000 messages each way"), "{text}");
    assert!(place.relay.is_running());
}

fn has_node_package(name: &str) -> bool {
    let installed = Path::new(&source("node_modules")).join(name).is_dir() && runs("node", ["--version"]);
    let capability = if name == "node-datachannel" { "libjuice" } else { name };
    can(capability, installed, format!("Node.js or its package {name} is not installed (`cargo xtask setup`)"))
}

#[test]
fn werift_loses_no_message() {
    if has_node_package("werift") {
        exchanges_messages(Place::on_loopback(&[]), "node", &[&source("werift.mjs")], &[]);
    }
}

#[test]
fn libjuice_loses_no_message() {
    if has_node_package("node-datachannel") {
        exchanges_messages(Place::on_loopback(&[]), "node", &[&source("libjuice.mjs")], &[]);
    }
}

#[test]
fn aiortc_loses_no_message() {
    if has_python_package("aiortc") {
        exchanges_messages(Place::on_loopback(&[]), python().to_str().unwrap(), &[&source("aiortc_pair.py")], &[]);
    }
}

#[test]
fn pion_loses_no_message() {
    let present = Path::new(GO_SOURCES).join("src/github.com/pion/turn/v2").is_dir() && runs("go", ["version"]);
    if !can("pion", present, "Debian's packages of Go and pion are not installed (`cargo xtask setup`)") {
        return;
    }
    let program = built("pion");
    let mut go = Command::new("go");
    go.env("GO111MODULE", "off").env("GOPATH", GO_SOURCES).env("GOCACHE", built("go-cache")).env("CGO_ENABLED", "0");
    build(go.args(["build", "-o", &program, &source("pion.go")]));
    exchanges_messages(Place::on_loopback(&[]), &program, &[], &["firezone"]);
}

#[test]
fn libnice_loses_no_message() {
    let present = runs("pkg-config", ["--exists", "nice"]) && runs("cc", ["--version"]);
    if !can("libnice", present, "a C compiler, pkg-config or libnice is not installed (`cargo xtask setup`)") {
        return;
    }
    let program = built("libnice");
    let flags = Command::new("pkg-config").args(["--cflags", "--libs", "nice"]).output().unwrap().stdout;
    let flags = String::from_utf8(flags).unwrap();
    build(Command::new("cc").args(["-o", &program, &source("libnice.c")]).args(flags.split_whitespace()));
    if let Some(place) = Place::with_interface(&[]) {
        exchanges_messages(place, &program, &[], &[]);
    }
}
