//! Allocations leave files for everything else.

use std::{
    io::{BufRead as _, BufReader},
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

/// Allocates, each time as somebody else, until the relay refuses.
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
fn allocations_that_use_up_the_limit_on_files_leave_some_for_everything_else() {
    let control = free_tcp_address();
    let folder = tempfile::TempDir::new().unwrap();
    let (stderr, write) = std::io::pipe().unwrap();
    let mut bare = Bare::start(|relay| {
        let relay = limit(relay, "-n 160").stderr(write);
        relay.arg("--control-endpoint").arg(control.to_string()).arg("--record-directory").arg(folder.path());
    });
    let log = Arc::<Mutex<String>>::default();
    let written = Arc::clone(&log);
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            written.lock().unwrap().push_str(&line);
        }
    });
    let has_logged = |text: &str| log.lock().unwrap().contains(text);

    let mut clients = allocate_all(&bare, 0);
    assert!(clients.len() > 40, "{} allocations", clients.len());
    wait_until(|| has_logged("clients are answered 508") && has_logged("LimitNOFILE="));
    // Somebody keeps connections for later, as Prometheus does.
    let _kept: Vec<_> = (0..10).map(|_| std::net::TcpStream::connect(bare.health).unwrap()).collect();
    for _ in 0..10 {
        assert_eq!(get(bare.health, "/healthz").0, 200);
    }
    let count = u64::try_from(clients.len()).unwrap();
    wait_until(|| bare.metric("active_allocations") == count);
    assert_eq!(request(control, "POST", "/log_filter?directives=info", "").0, 200);
    assert_eq!(request(control, "POST", "/record/start?file=trace.pcapng", "").0, 200);
    assert_eq!(request(control, "POST", "/record/stop", "").0, 202);

    // Those that there are go on, and where one ends another begins.
    let echo = Echo::start(bare.server);
    clients[0].bind(0x4000, echo.address).unwrap();
    exchange(&mut clients[0], 0x4000, b"hello");
    for client in clients.iter_mut().skip(1).take(5) {
        client.refresh(Duration::ZERO).unwrap();
    }
    let more = allocate_all(&bare, 1_000);
    assert!(more.len() >= 5, "{}", more.len());
    assert_eq!(get(bare.health, "/healthz").0, 200);

    // A limit that is raised while the relay runs counts at once.
    let id = bare.child.id().to_string();
    let raised = runs("prlimit", ["--pid", &id, "--nofile=200:200"]);
    if can("prlimit", raised, "prlimit cannot raise a limit here") {
        assert!(allocate_all(&bare, 2_000).len() >= 20);
    }
    bare.signal("TERM");
    assert_eq!(bare.wait().code(), Some(0));
}
