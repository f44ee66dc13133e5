//! What tests with outside programs can do on this machine.
//!
//! A test that cannot run prints `skipped: <reason>` and passes, unless the environment variable `RELAY_TESTS_REQUIRE` (a
//! list with commas) names the capability that it lacks. `cargo xtask test` names all that the machine has, so that
//! there a test cannot skip itself unnoticed.

use std::{fs, net::UdpSocket, path::Path, process::Command};

use crate::{command, setup};

/// Something that not every machine can do.
struct Capability {
    name: &'static str,
    present: fn() -> bool,
}

const CAPABILITIES: &[Capability] = &[
    Capability { name: "coturn", present: || command::find("turnutils_uclient").is_some() },
    Capability { name: "aioice", present: || setup::python().exists() },
    Capability { name: "aiortc", present: || can_import("aiortc") },
    Capability { name: "chromium", present: || command::find("chromium").is_some() },
    Capability { name: "firefox", present: || command::find("firefox-esr").is_some() },
    Capability { name: "libjuice", present: || has_node_package("node-datachannel") },
    Capability { name: "libnice", present: has_libnice },
    Capability { name: "pion", present: has_pion },
    Capability { name: "werift", present: || has_node_package("werift") },
    Capability { name: "node", present: || command::find("node").is_some() },
    Capability { name: "openssl", present: || command::find("openssl").is_some() },
    Capability { name: "python3", present: || command::find("python3").is_some() },
    Capability { name: "rotel", present: || can_import("rotel") },
    Capability { name: "ipv6", present: || UdpSocket::bind("[::1]:0").is_ok() },
    Capability { name: "tcpdump", present: || command::find("tcpdump").is_some() },
    Capability { name: "tshark", present: || command::find("tshark").is_some() },
    Capability { name: "nft", present: || command::find("nft").is_some() },
    Capability { name: "faketime", present: setup::has_libfaketime },
    Capability { name: "mount", present: can_mount },
    Capability { name: "netns", present: can_make_namespaces },
    Capability { name: "prlimit", present: can_raise_limits },
    Capability { name: "bridge", present: || in_namespace("ip link add one type bridge") },
    Capability { name: "tap", present: || in_namespace("ip tuntap add one mode tap") },
    Capability { name: "vlan", present: || in_namespace("ip link add link lo name lo.7 type vlan id 7") },
    Capability { name: "xdp", present: || can_make_namespaces() && can_load_bpf() },
];

/// The names of those that are present, with commas between.
pub(crate) fn present() -> String {
    let names = CAPABILITIES.iter().filter(|capability| (capability.present)()).map(|capability| capability.name);
    names.collect::<Vec<_>>().join(",")
}

/// Whether that one is present.
pub(crate) fn has(name: &str) -> bool {
    CAPABILITIES.iter().any(|capability| capability.name == name && (capability.present)())
}

fn can_import(package: &str) -> bool {
    command::succeeds(Command::new(setup::python()).args(["-c", &format!("import {package}")]))
}

fn has_node_package(name: &str) -> bool {
    command::find("node").is_some() && setup::node_folder().join("node_modules").join(name).is_dir()
}

fn has_libnice() -> bool {
    command::find("cc").is_some() && command::succeeds(Command::new("pkg-config").args(["--exists", "nice"]))
}

fn has_pion() -> bool {
    command::find("go").is_some() && Path::new("/usr/share/gocode/src/github.com/pion/turn/v2").is_dir()
}

fn can_make_namespaces() -> bool {
    in_namespace("ip link add name one type veth peer name other && ip link set one up")
}

/// Whether a file system can be mounted where nobody else sees it.
fn can_mount() -> bool {
    command::succeeds(Command::new("unshare").args(["-m", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt"]))
}

/// Whether a shell command succeeds in a network namespace of its own.
fn in_namespace(script: &str) -> bool {
    command::succeeds(Command::new("unshare").args(["--net", "sh", "-c", script]))
}

/// Whether the limit on files of a running process can be raised.
fn can_raise_limits() -> bool {
    command::succeeds(Command::new("sh").args(["-c", "ulimit -n 160 && prlimit --pid $$ --nofile=200:200"]))
}

/// Whether this process has CAP_BPF and CAP_NET_ADMIN.
fn can_load_bpf() -> bool {
    const CAP_NET_ADMIN: u64 = 1 << 12;
    const CAP_BPF: u64 = 1 << 39;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    effective & CAP_NET_ADMIN != 0 && effective & CAP_BPF != 0
}
