//! The benchmark of the kernel path: each row's data takes the path that it names, and nothing is left behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use support::{LOOKS, Running, children, has_ended, signal, wait};
use test_support::{
    capability::{available, is_installed},
    namespace::Namespace,
    relay,
};

const CASE: &str = "kernel: 200 B, 1 flow";

/// The benchmark's command; `None` if this machine has no network namespaces. `folder` is for its files.
fn benchmark(folder: &str, options: &[&str]) -> Option<(Command, PathBuf)> {
    available("netns", Namespace::new())?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
    // From an earlier run.
    let _ = fs::remove_dir_all(&folder);
    let mut command = Command::new(env!("CARGO_BIN_EXE_relay-load"));
    command.arg("e2e").arg("--relay").arg(relay::program()).args(["--only", CASE]).arg("--logs").arg(&folder);
    if is_installed("turnserver") {
        command.args(["--coturn", "turnserver"]);
    }
    command.args(options).stdin(Stdio::null()).stdout(Stdio::null());
    Some((command, folder))
}

/// The network namespaces of these processes, as the kernel names them.
fn networks(pids: &[u32]) -> BTreeSet<PathBuf> {
    pids.iter().filter_map(|pid| fs::read_link(format!("/proc/{pid}/ns/net")).ok()).collect()
}

/// Whether any process is still in one of `networks`.
fn any_is_left(networks: &BTreeSet<PathBuf>) -> bool {
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    !self::networks(&pids.collect::<Vec<_>>()).is_disjoint(networks)
}

/// The result in `list` with this `name` and `server`.
fn find<'a>(results: &'a Value, list: &str, name: (&str, &str), server: &str) -> Option<&'a Value> {
    let (key, name) = name;
    results[list].as_array().unwrap().iter().find(|row| row[key] == name && row["server"] == server)
}

#[test]
fn each_row_takes_the_path_that_it_says() {
    let json = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernel.json");
    let options = ["--rounds", "1", "--seconds", "0.1", "--wait-for-quiet", "0", "--json", json.to_str().unwrap()];
    let Some((mut command, _)) = benchmark("kernel-paths", &options) else { return };
    assert!(command.status().unwrap().success());
    let results: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    let left_out: Vec<&str> = results["left_out"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let is_left_out = |server: &str| left_out.iter().find(|line| line.contains(server)).copied();
    for server in ["no relay", "second router", "user space"] {
        assert_eq!(is_left_out(server), None);
    }
    let lacks_coturn = is_left_out("coturn").is_some();
    assert!(!lacks_coturn || !is_installed("turnserver"), "{left_out:?}");
    // If one mode cannot be loaded, no mode can.
    let kernel = is_left_out("kernel, ").map_or(Ok(()), Err);
    let kernel: &[&str] = if available("xdp", kernel).is_some() { &["kernel, driver", "kernel, generic"] } else { &[] };
    let coturn: &[&str] = if lacks_coturn { &[] } else { &["coturn"] };
    for server in [&["no relay", "second router", "user space"], kernel, coturn].concat() {
        let row = find(&results, "relaying", ("case", CASE), server).expect(server);
        assert!(row["packets_per_second"].as_f64().unwrap() > 0.0 && row["corrupt"] == 0, "{row}");
    }
    let relayed_in_kernel = format!("{CASE}: relayed in the kernel");
    let percent =
        |server| find(&results, "figures", ("name", &relayed_in_kernel), server).expect(server)["value"].as_f64();
    assert_eq!(percent("user space"), Some(0.0));
    for server in kernel {
        // One packet in 65,536 has a checksum that looks like a partial one, and goes to user space.
        assert!(percent(server).unwrap() > 98.0, "{server}: {:?}", percent(server));
    }
}

#[test]
fn networks_and_servers_are_gone_after_an_interruption() {
    let Some((mut command, folder)) = benchmark("kernel-interrupted", &["--seconds", "60"]) else { return };
    let mut benchmark = Running(command.stderr(Stdio::null()).spawn().unwrap());
    let pid = benchmark.0.id();
    let ours = networks(&[std::process::id()]);
    // Each server has a log.
    let has_log = |server: &str| folder.join(format!("{server}.log")).is_file();
    let relays =
        || children(pid).into_iter().filter(|child| networks(&[*child]).is_disjoint(&ours)).collect::<Vec<_>>();
    assert!((0..LOOKS).any(|_| (has_log("user space") && !relays().is_empty()) || wait()));
    let servers = relays();
    let left = networks(&servers);
    assert!(!left.is_empty() && any_is_left(&left));
    assert!(signal(pid, "INT"));
    assert_eq!(benchmark.0.wait().unwrap().code(), Some(128 + 2));
    assert!((0..LOOKS).any(|_| servers.iter().all(|server| has_ended(*server)) || wait()), "{servers:?} go on");
    assert!((0..LOOKS).any(|_| !any_is_left(&left) || wait()), "{left:?} are there");
}
