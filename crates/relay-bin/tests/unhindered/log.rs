//! Nothing waits for the log.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    net::UdpSocket,
    os::unix::net::UnixStream,
    sync::mpsc,
    thread,
};

use test_support::{
    echo::Echo,
    http::get,
    relay::{allocate_and_bind, command, credentials, exchange},
    wait_until,
};
use turn_client::{Allocate, BlockingClient};

use super::{Bare, full_stream};

const LOST: &str = "log_lines_lost_total{reason=\"queue_full\"}";

/// Allocates, binds a channel, and exchanges a packet.
#[track_caller]
pub(super) fn relay_something(bare: &Bare, salt: &str) {
    let echo = Echo::start(bare.server);
    let mut client = BlockingClient::connect(bare.server, credentials(salt)).unwrap();
    allocate_and_bind(&mut client, 0x4000, echo.address);
    exchange(&mut client, 0x4000, b"hello");
}

/// Sends datagrams that the relay drops, each with a line at TRACE, until lines are lost.
fn make_it_lose_lines(bare: &Bare) {
    wait_until(|| {
        for _ in 0..20 {
            // From many sockets, so that both workers get some.
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            for _ in 0..100 {
                socket.send_to(&[0xff; 8], bare.server).unwrap();
            }
        }
        bare.metric(LOST) > 0
    });
}

#[test]
fn nothing_waits_for_a_log_that_nobody_reads() {
    let (_stdout, stdout) = full_stream();
    let (_stderr, stderr) = full_stream();
    let mut bare = Bare::start(|command| {
        command.args(["--log-filter", "trace"]).stdout(stdout).stderr(stderr);
    });
    make_it_lose_lines(&bare);
    for salt in ["a", "b", "c", "d"] {
        relay_something(&bare, salt);
    }
    assert_eq!(get(bare.health, "/healthz").0, 200);
    for signal in ["HUP", "TERM"] {
        bare.signal(signal);
    }
    assert_eq!(bare.wait().code(), Some(0));
}

#[test]
fn a_pipe_that_the_relay_fills_itself_ends_nothing() {
    let (mut stderr, write) = std::io::pipe().unwrap();
    let mut bare = Bare::start(|command| {
        command.args(["--log-filter", "debug"]).stderr(write);
    });
    let mut client = BlockingClient::connect(bare.server, credentials("a")).unwrap();
    // 172 of them filled the pipe.
    for _ in 0..500 {
        client.allocate(Allocate::default()).unwrap();
        client.refresh(std::time::Duration::ZERO).unwrap();
    }
    relay_something(&bare, "b");
    assert_eq!(get(bare.health, "/healthz").0, 200);
    bare.signal("INT");
    assert_eq!(bare.wait().code(), Some(0));
    let mut log = String::new();
    stderr.read_to_string(&mut log).unwrap();
    assert!(log.len() >= 4096, "it was not full: {log}");
}

#[test]
fn lost_lines_are_told_when_the_log_flows_again_and_the_last_line_is_written() {
    let (stderr, write) = full_stream();
    let mut bare = Bare::start(|command| {
        command.args(["--log-filter", "trace"]).stderr(write);
    });
    make_it_lose_lines(&bare);
    let log = read_on(stderr);
    let told = log.iter().find(|line| line.contains("lines of this log were lost")).unwrap();
    let lines = told.split("lines=").nth(1).unwrap();
    let lines: u64 = lines.split(|character: char| !character.is_ascii_digit()).next().unwrap().parse().unwrap();
    assert!(lines > 0 && lines <= bare.metric(LOST), "{told}");
    bare.signal("TERM");
    assert_eq!(bare.wait().code(), Some(0));
    assert!(log.iter().last().unwrap().contains("relay stopped"));
}

/// The lines from `stream`, while the receiver exists.
fn read_on(stream: UnixStream) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        // Colour codes are between a name and its value.
        BufReader::new(stream).lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
    });
    lines
}

#[test]
fn a_log_that_the_system_refuses_is_counted() {
    let bare = Bare::start(|command| {
        command.stderr(File::options().write(true).open("/dev/full").unwrap());
    });
    relay_something(&bare, "a");
    wait_until(|| bare.metric("log_lines_lost_total{reason=\"write_failed\"}") > 0);
}

#[test]
fn a_relay_that_cannot_start_ends_though_nobody_reads_why() {
    for (options, code) in [
        (&["--workers", "none"][..], 2),
        (&["--no-such-option"], 2),
        (&["--public-ip4-addr", "127.0.0.1", "--record-trace", "/nonexistent/trace"], 1),
    ] {
        let (_stderr, write) = full_stream();
        let mut child = command(options).stderr(write).spawn().unwrap();
        let mut status = None;
        wait_until(|| {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        assert_eq!(status.unwrap().code(), Some(code));
    }
}
