//! Signals that must not end the relay.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    net::UdpSocket,
    os::unix::process::ExitStatusExt as _,
};

use tempfile::TempDir;
use test_support::{http::get, relay::credentials, wait_until};
use turn_client::{Allocate, BlockingClient};

use super::{Bare, limit};

#[test]
fn signals_that_do_not_mean_the_end_are_survived_and_sighup_hands_over() {
    let (stderr, write) = std::io::pipe().unwrap();
    let mut bare = Bare::start(|command| {
        command.stderr(write);
    });
    let mut client = BlockingClient::connect(bare.server, credentials("a")).unwrap();
    client.allocate(Allocate::default()).unwrap();
    for signal in ["USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO", "PWR", "XFSZ", "PIPE", "WINCH", "HUP"] {
        bare.signal(signal);
    }
    let mut log = BufReader::new(stderr).lines().map(Result::unwrap);
    let line = log.find(|line| line.contains("SIGHUP")).unwrap();
    assert!(line.contains("INFO") && line.contains("handing over to a new process"), "{line}");
    assert!(log.any(|line| line.contains("handed over")));
    // Until it has let go, it may take a connection that it does not answer.
    wait_until(|| std::fs::read(format!("/proc/{}/cmdline", bare.child.id())).unwrap().ends_with(b"supervise\0"));
    wait_until(|| get(bare.health, "/readyz").0 == 200);
    client.refresh(std::time::Duration::from_secs(600)).unwrap();

    bare.signal("TERM");
    let status = bare.wait();
    assert_eq!((status.code(), status.signal()), (Some(0), None));
    let rest: Vec<String> = log.collect();
    assert!(rest.last().unwrap().contains("relay stopped: 1 allocations"), "{rest:?}");
    assert!(!rest.iter().any(|line| line.contains("SIGHUP")), "one line for one signal: {rest:?}");
}

#[test]
fn a_trace_that_outgrows_the_limit_on_files_does_not_end_the_relay() {
    let folder = TempDir::new().unwrap();
    let trace = folder.path().join("trace.pcapng");
    let log = folder.path().join("log");
    let mut bare = Bare::start(|relay| {
        // In blocks of 512 or 1024 bytes.
        limit(relay, "-f 16").arg("--record-trace").arg(&trace).stderr(File::create(&log).unwrap());
    });
    let mut client = BlockingClient::connect(bare.server, credentials("a")).unwrap();
    let noise = UdpSocket::bind("127.0.0.1:0").unwrap();
    wait_until(|| {
        noise.send_to(&[0xff; 1024], bare.server).unwrap();
        std::fs::read_to_string(&log).unwrap().contains("cannot record any more: it is complete up to there")
    });
    client.allocate(Allocate::default()).unwrap();
    bare.signal("TERM");
    assert_eq!(bare.wait().code(), Some(0));
    let mut session = relay_replay::Session::new();
    session.push(&std::fs::read(&trace).unwrap());
    session.end();
    assert_eq!(session.error(), None);
}
