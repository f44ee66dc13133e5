//! A recording's file may block its thread, and nothing else.

use std::{
    fs::{self, File},
    io::Read as _,
    net::UdpSocket,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use tempfile::TempDir;
use test_support::{
    http::get,
    port::{free_port, free_tcp_address},
    relay::command,
    wait_until,
};

use super::{Bare, log::relay_something};

/// A named pipe in a temporary directory.
fn pipe() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    (folder, pipe)
}

/// A relay that cannot start its recording to `pipe`, and its log.
fn start_in_vain(pipe: &PathBuf) -> (Bare, std::io::PipeReader) {
    let health = free_tcp_address();
    let port = free_port();
    let (log, stderr) = std::io::pipe().unwrap();
    let mut command = command(["--public-ip4-addr", "127.0.0.1", "--listen-port", &port.to_string()]);
    command.args(["--health-check-addr", &health.to_string()]).arg("--record-trace").arg(pipe);
    let child = command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
    let bare = Bare { child, server: ([127, 0, 0, 1], port).into(), health };
    wait_until(|| std::net::TcpStream::connect(health).is_ok() && get(health, "/readyz").0 == 503);
    (bare, log)
}

#[test]
fn a_trace_into_a_pipe_that_nobody_reads_does_not_keep_sigterm_waiting() {
    let (_folder, pipe) = pipe();
    let (mut bare, _log) = start_in_vain(&pipe);
    bare.signal("TERM");
    assert_eq!(bare.wait().code(), Some(0));
}

#[test]
fn a_trace_into_a_pipe_that_nobody_reads_is_told_after_a_while() {
    let (_folder, pipe) = pipe();
    let (mut bare, mut log) = start_in_vain(&pipe);
    // The relay itself gives up after 10 s.
    while bare.child.try_wait().unwrap().is_none() {
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(bare.wait().code(), Some(1));
    drop(bare);
    let mut text = String::new();
    log.read_to_string(&mut text).unwrap();
    let error = text.lines().last().unwrap();
    assert!(error.starts_with("error: --record-trace needs") && error.contains("a pipe that nobody reads"), "{text}");
}

#[test]
fn a_pipe_that_is_read_no_further_costs_the_trace_only() {
    let (_folder, pipe) = pipe();
    // Opened without waiting for the other end, and never read.
    let _reader = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(&pipe).unwrap();
    let mut bare = Bare::start(|relay| {
        relay.arg("--record-trace").arg(&pipe);
    });
    let noise = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..1_000 {
        noise.send_to(&[0xff; 1_024], bare.server).unwrap();
    }
    relay_something(&bare, "a");
    assert_eq!(get(bare.health, "/healthz").0, 200);
    bare.signal("TERM");
    // The relay itself gives up after 10 s. A pipe holds 64 KiB by default, so the trace is incomplete.
    let mut looks = 0..600;
    while bare.child.try_wait().unwrap().is_none() {
        looks.next().expect("it should have ended");
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(bare.wait().code(), Some(0));
}

#[test]
fn a_trace_into_a_pipe_that_is_read_is_complete() {
    let (folder, pipe) = pipe();
    let source = pipe.clone();
    let reader = thread::spawn(move || fs::read(source).unwrap());
    let log = folder.path().join("log");
    let mut bare = Bare::start(|relay| {
        relay.arg("--record-trace").arg(&pipe).stderr(File::create(&log).unwrap());
    });
    relay_something(&bare, "a");
    bare.signal("TERM");
    assert_eq!(bare.wait().code(), Some(0));
    assert!(reader.join().unwrap().windows(5).any(|window| window == b"hello"));
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains(" recorded ") && !log.contains("cannot finish the trace"), "{log}");
}
