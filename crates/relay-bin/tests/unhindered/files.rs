//! Allocations leave open files for everything else.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use test_support::{
    capability::{can, runs},
    echo::Echo,
    http::{get, request},
    port::free_tcp_address,
    relay::{credentials, exchange},
    wait_until,
};
use turn_client::{Allocate, BlockingClient};

use super::{Bare, limit};

/// Allocates with new usernames until the relay refuses.
fn allocate_all(bare: &Bare, first: usize) -> Vec<BlockingClient> {
    let mut clients = Vec::new();
    loop {
        let salt = format!("client-{}", first + clients.len());
        let mut client = BlockingClient::connect(bare.server, credentials(&salt)).unwrap();
        match client.allocate(Allocate::default()) {
            Ok(_) => clients.push(client),
            Err(refused) => {
                assert_eq!(refused.code(), Some(508), "{refused}");
                return clients;
            }
        }
    }
}

#[test]
fn without_any_file_left_it_relays_on_and_all_comes_back_when_there_are_some() {
    let control = free_tcp_address();
    let folder = tempfile::TempDir::new().unwrap();
    let rules = folder.path().join("rules");
    fs::write(&rules, "deny 192.0.2.1\n").unwrap();
    let (stderr, write) = std::io::pipe().unwrap();
    let bare = Bare::start(|relay| {
        relay.stderr(write).arg("--control-endpoint").arg(control.to_string());
        relay.arg("--record-directory").arg(folder.path()).arg("--peer-rules-file").arg(&rules);
    });
    let log = read_all(stderr);
    let echo = Echo::start(bare.server);
    let mut client = BlockingClient::connect(bare.server, credentials("a")).unwrap();
    client.allocate(Allocate::default()).unwrap();
    client.bind(0x4000, echo.address).unwrap();
    // The hard limit stays, and open files stay open.
    let limit = |files: u64| runs("prlimit", ["--pid", &bare.child.id().to_string(), &format!("--nofile={files}:")]);
    assert!(limit(1));
    let mut waiting = TcpStream::connect(bare.health).unwrap();
    waiting.write_all(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
    fs::write(&rules, "deny 192.0.2.0/24\n").unwrap();
    let has_logged = |text: &str| log.lock().unwrap().contains(text);
    wait_until(|| {
        has_logged("cannot accept a connection") && has_logged("the rules that were read before stay in force")
    });
    let mut other = BlockingClient::connect(bare.server, credentials("b")).unwrap();
    assert_eq!(other.allocate(Allocate::default()).unwrap_err().code(), Some(508));
    for _ in 0..10 {
        exchange(&mut client, 0x4000, b"hello");
    }
    client.refresh(Duration::from_secs(600)).unwrap();

    assert!(limit(1_000));
    // The waiting probe is answered, the file is read, and the refused client is served.
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    wait_until(|| has_logged("the rules about peers were read again"));
    other.allocate(Allocate::default()).unwrap();
    assert_eq!(request(control, "POST", "/record/start?file=trace.pcapng", "").0, 200);
    for part in ["http", "file", "allocation_socket"] {
        assert!(bare.metric(&format!("faults_total{{part=\"{part}\"}}")) > 0, "{part}");
    }
    let log = log.lock().unwrap();
    for line in ["cannot accept a connection", "the rules that were read before stay in force", "cannot open a socket"]
    {
        assert_eq!(log.matches(line).count(), 1, "{line}: {log}");
    }
}

/// Collects what a pipe delivers.
fn read_all(pipe: std::io::PipeReader) -> Arc<Mutex<String>> {
    let text = Arc::<Mutex<String>>::default();
    let written = Arc::clone(&text);
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            written.lock().unwrap().push_str(&line);
        }
    });
    text
}

#[test]
fn allocations_that_use_up_the_limit_on_files_leave_some_for_everything_else() {
    let control = free_tcp_address();
    let folder = tempfile::TempDir::new().unwrap();
    let (stderr, write) = std::io::pipe().unwrap();
    let mut bare = Bare::start(|relay| {
        let relay = limit(relay, "-n 160").stderr(write);
        relay.arg("--control-endpoint").arg(control.to_string()).arg("--record-directory").arg(folder.path());
    });
    let log = read_all(stderr);
    let has_logged = |text: &str| log.lock().unwrap().contains(text);

    let mut clients = allocate_all(&bare, 0);
    assert!(clients.len() > 40, "{} allocations", clients.len());
    wait_until(|| has_logged("clients are answered 508") && has_logged("LimitNOFILE="));
    wait_until(|| bare.metric("faults_total{part=\"allocation_socket\"}") > 0);
    // Connections that stay open, like those of Prometheus.
    let _kept: Vec<_> = (0..10).map(|_| TcpStream::connect(bare.health).unwrap()).collect();
    for _ in 0..10 {
        assert_eq!(get(bare.health, "/healthz").0, 200);
    }
    let count = u64::try_from(clients.len()).unwrap();
    wait_until(|| bare.metric("active_allocations") == count);
    assert_eq!(request(control, "POST", "/log_filter?directives=info", "").0, 200);
    assert_eq!(request(control, "POST", "/record/start?file=trace.pcapng", "").0, 200);
    assert_eq!(request(control, "POST", "/record/stop", "").0, 202);

    // Allocations go on, and each that ends makes room for another.
    let echo = Echo::start(bare.server);
    clients[0].bind(0x4000, echo.address).unwrap();
    exchange(&mut clients[0], 0x4000, b"hello");
    for client in clients.iter_mut().skip(1).take(5) {
        client.refresh(Duration::ZERO).unwrap();
    }
    let more = allocate_all(&bare, 1_000);
    assert!(more.len() >= 5, "{}", more.len());
    assert_eq!(get(bare.health, "/healthz").0, 200);

    // A limit that is raised at run time takes effect at once.
    let id = bare.child.id().to_string();
    let raised = runs("prlimit", ["--pid", &id, "--nofile=200:200"]);
    if can("prlimit", raised, "prlimit cannot raise a limit here") {
        assert!(allocate_all(&bare, 2_000).len() >= 20);
    }
    bare.signal("TERM");
    assert_eq!(bare.wait().code(), Some(0));
}
