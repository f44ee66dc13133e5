//! Quotas of clients: allocations, channels, permissions and bandwidth.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    net::{SocketAddr, UdpSocket},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use test_support::{
    PATIENCE,
    echo::Echo,
    http,
    port::{free_port, free_range, free_tcp_address},
    relay::{ALONE, Relay, SECRET, credentials, program},
    wait_until,
};
use turn_client::{Allocate, BlockingClient, Failure, Request, TurnClient};

/// A relay with these options, and the address of its metrics.
fn start(options: &[&str]) -> (Relay, SocketAddr) {
    let health = free_tcp_address();
    let health_text = health.to_string();
    (Relay::start(&[&["--health-check-addr", &health_text], options].concat()), health)
}

fn allocated(relay: &Relay, user: &str) -> BlockingClient {
    let mut client = BlockingClient::connect(relay.v4(), credentials(user)).unwrap();
    client.allocate(Allocate::default()).unwrap();
    client
}

fn has_line(health: SocketAddr, line: &str) -> bool {
    http::get(health, "/metrics").1.lines().any(|found| found == line)
}

/// A peer to which nothing is sent.
fn peer(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    SocketAddr::from(([9, 9, high, low], 9))
}

fn code(result: Result<impl Sized, turn_client::Error>) -> Option<u16> {
    result.err().map(|error| error.code().expect("an answer"))
}

#[test]
fn channels_and_permissions_have_a_limit_for_one_client_and_for_all() {
    let options = [
        "--workers",
        "1",
        "--indications",
        "on",
        "--channels-per-allocation",
        "3",
        "--permissions-per-allocation",
        "4",
        "--max-channels",
        "5",
        "--max-permissions",
        "6",
    ];
    let (relay, health) = start(&options);
    let mut clients = ["a", "b"].map(|user| allocated(&relay, user));
    for (number, channel) in (0..3).zip(0x4000..) {
        clients[0].bind(channel, peer(number)).unwrap();
    }
    assert_eq!(code(clients[0].bind(0x4003, peer(0))), Some(400), "the peer has a channel");
    assert_eq!(code(clients[0].bind(0x4003, peer(3))), Some(508));
    let permit = |peers: std::ops::Range<u16>| Request::CreatePermission { peers: peers.map(peer).collect() };
    assert_eq!(code(clients[0].request(permit(0..5))), Some(508));
    clients[0].request(permit(0..4)).unwrap();

    for (number, channel) in (0..2).zip(0x4000..) {
        clients[1].bind(channel, peer(number)).unwrap();
    }
    assert_eq!(code(clients[1].bind(0x4002, peer(2))), Some(508), "no permission is left");
    assert_eq!(code(clients[1].request(permit(0..3))), Some(508));
    // The end of the first allocation frees its permissions and channels.
    assert_eq!(code(clients[0].refresh(Duration::ZERO)), None);
    clients[1].bind(0x4002, peer(2)).unwrap();

    let mut third = allocated(&relay, "c");
    for (number, channel) in (0..2).zip(0x4000..) {
        third.bind(channel, peer(number)).unwrap();
    }
    assert_eq!(code(third.bind(0x4002, peer(0))), Some(400));
    assert_eq!(code(third.bind(0x4002, SocketAddr::from(([9, 9, 0, 0], 10)))), Some(508), "no channel is left");
    third.bind(0x4001, peer(1)).unwrap();

    for (limit, count) in
        [("channels_per_allocation", 1), ("permissions_per_allocation", 1), ("max_permissions", 2), ("max_channels", 1)]
    {
        wait_until(|| has_line(health, &format!("requests_over_limit_total{{limit=\"{limit}\"}} {count}")));
    }
    let log = relay.stop().log;
    for expected in ["--max-channels (MAX_CHANNELS)", "--max-permissions (MAX_PERMISSIONS)"] {
        assert_eq!(log.matches(expected).count(), 1, "{log}");
    }
}

/// A client that has the challenge for its first request, so the next one is signed.
struct Ready {
    client: TurnClient,
    socket: UdpSocket,
}

impl Ready {
    fn new(relay: &Relay, user: &str, seed: u64) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(relay.v4()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut ready = Self { client: TurnClient::new(credentials(user), seed), socket };
        ready.client.request(now(), Request::Refresh { lifetime: None });
        ready.transmit();
        assert_eq!(ready.answer().map(drop).unwrap_err().code(), Some(437));
        ready
    }

    fn transmit(&mut self) {
        while let Some(datagram) = self.client.poll_transmit() {
            self.socket.send(&datagram).unwrap();
        }
    }

    fn delete(mut self) {
        self.client.request(now(), Request::Refresh { lifetime: Some(Duration::ZERO) });
        self.transmit();
        self.answer().unwrap();
    }

    fn answer(&mut self) -> Result<turn_client::Success, Failure> {
        let mut buffer = [0; 2048];
        loop {
            let length = self.socket.recv(&mut buffer).expect("an answer");
            self.client.handle_datagram(now(), &buffer[..length]);
            self.transmit();
            if let Some((_, answer)) = self.client.poll_answer() {
                return answer;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "nothing depends on it")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn a_user_who_asks_all_workers_at_the_same_moment_gets_no_more_than_the_limit() {
    const LIMIT: usize = 10;
    const CLIENTS: usize = 40;
    let (relay, health) = start(&["--workers", "4"]);
    for round in 0..25 {
        let user = format!("user{round}");
        let mut clients: Vec<_> = (0..CLIENTS).zip(0..).map(|(_, seed)| Ready::new(&relay, &user, seed)).collect();
        for client in &mut clients {
            client.client.request(now(), Request::Allocate(Allocate::default()));
        }
        clients.iter_mut().for_each(Ready::transmit);
        let answers: Vec<_> = clients.iter_mut().map(Ready::answer).collect();
        let granted = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(granted, LIMIT, "in round {round}");
        let codes = answers.iter().filter_map(|answer| answer.as_ref().err().map(Failure::code));
        assert!(codes.into_iter().all(|code| code == Some(486)));

        // Freed allocations can be made again, on any worker.
        let (held, refused): (Vec<_>, Vec<_>) =
            clients.into_iter().zip(&answers).partition(|(_, answer)| answer.is_ok());
        held.into_iter().for_each(|(client, _)| client.delete());
        let mut again: Vec<_> = refused.into_iter().take(LIMIT).map(|(client, _)| client).collect();
        for client in &mut again {
            client.client.request(now(), Request::Allocate(Allocate::default()));
            client.transmit();
            client.answer().unwrap();
        }
        again.into_iter().for_each(Ready::delete);
    }
    let refused = 25 * (CLIENTS - LIMIT);
    let line = format!("requests_over_limit_total{{limit=\"allocations_per_username\"}} {refused}");
    wait_until(|| has_line(health, &line));
}

#[test]
fn the_clients_of_one_network_have_a_limit_together() {
    let (relay, health) = start(&["--workers", "2", "--allocations-per-prefix", "5"]);
    let from = |host: &str, user: &str| {
        let socket = UdpSocket::bind((host, 0)).unwrap();
        socket.connect(relay.v4()).unwrap();
        BlockingClient::with_socket(socket, credentials(user))
    };
    // On any worker.
    let mut clients: Vec<_> = (1..=8).map(|host| from(&format!("127.7.7.{host}"), &format!("user{host}"))).collect();
    let answers: Vec<_> = clients.iter_mut().map(|client| code(client.allocate(Allocate::default()))).collect();
    assert_eq!(answers.iter().filter(|code| code.is_none()).count(), 5, "{answers:?}");
    assert_eq!(answers.iter().filter(|code| **code == Some(486)).count(), 3, "{answers:?}");
    from("127.7.8.1", "elsewhere").allocate(Allocate::default()).unwrap();
    wait_until(|| has_line(health, "requests_over_limit_total{limit=\"allocations_per_prefix\"} 3"));

    let ended = answers.iter().position(Option::is_none).unwrap();
    clients[ended].refresh(Duration::ZERO).unwrap();
    let refused = answers.iter().position(Option::is_some).unwrap();
    clients[refused].allocate(Allocate::default()).unwrap();
}

/// Sends `packets` at once through a channel to an echo. Returns how many came back.
fn echoed(relay: &Relay, user: &str, echo: &Echo, packets: u32) -> u32 {
    let mut client = allocated(relay, user);
    client.bind(0x4000, echo.address).unwrap();
    for _ in 0..packets {
        client.send(0x4000, &[7; 1000]).unwrap();
    }
    let mut echoed = 0;
    while client.receive(Duration::from_millis(500)).unwrap().is_some() {
        echoed += 1;
    }
    echoed
}

#[test]
fn bandwidth_is_limited_for_an_allocation_a_user_and_in_total() {
    // The smallest burst is 64 KiB. The rate adds next to nothing in the half second that the test waits.
    for (option, reason) in [
        ("--bandwidth-per-allocation", "allocation_bandwidth"),
        ("--bandwidth-per-username", "user_bandwidth"),
        ("--max-bandwidth", "total_bandwidth"),
    ] {
        let (relay, health) = start(&["--workers", "1", option, "8kbit"]);
        let echo = Echo::start(relay.v4());
        let first = echoed(&relay, "a", &echo, 100);
        assert!((1..90).contains(&first), "{option}: {first}");
        let dropped = http::get(health, "/metrics").1;
        assert!(dropped.contains(&format!("dropped_datagrams_total{{reason=\"{reason}\"}}")), "{dropped}");

        let (same_user, other_user) = (echoed(&relay, "a", &echo, 40), echoed(&relay, "b", &echo, 40));
        let (is_users, is_total) = (option == "--bandwidth-per-username", option == "--max-bandwidth");
        assert_eq!(
            (same_user < 20, other_user < 20),
            (is_users || is_total, is_total),
            "{option}: {same_user}, {other_user}"
        );
    }
}

#[test]
fn packets_are_limited_by_number_too() {
    let (relay, health) = start(&["--workers", "1", "--packet-rate-per-allocation", "10"]);
    let echo = Echo::start(relay.v4());
    let echoed = echoed(&relay, "a", &echo, 100);
    assert!((1..90).contains(&echoed), "{echoed}");
    wait_until(|| http::get(health, "/metrics").1.contains("{reason=\"allocation_bandwidth\"}"));
}

/// Binds channels to different peer addresses until the relay refuses. Returns how many it had room for.
fn take_all(relay: &Relay, clients: &mut [BlockingClient]) -> u32 {
    let mut bound = 0_u32;
    for client in clients {
        for channel in 0x4000..0x5000 {
            let peer = SocketAddr::from(((0x0900_0000 + bound).to_be_bytes(), 9));
            match code(client.bind(channel, peer)) {
                None => bound += 1,
                refused => {
                    assert_eq!(refused, Some(508), "{relay:?}");
                    return bound;
                }
            }
        }
    }
    bound
}

#[test]
fn clients_who_take_all_there_is_do_not_end_a_relay_with_little_memory() {
    let port = free_port();
    let port_text = port.to_string();
    let range = free_range(20);
    let (lowest, highest) = (range.start().to_string(), range.end().to_string());
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", r#"ulimit -v 160000; exec "$0" "$@""#])
        .arg(program())
        .args([
            "--public-ip4-addr",
            "127.0.0.1",
            "--auth-secret",
            SECRET,
            "--listen-port",
            &port_text,
            "--workers",
            "1",
        ])
        .args(["--lowest-port", &lowest, "--highest-port", &highest])
        .env_clear()
        .envs(ALONE)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let relay = Relay::spawn(&mut command, port);
    let mut greedy: Vec<_> = (0..6).map(|_| allocated(&relay, "greedy")).collect();
    assert_eq!(take_all(&relay, &mut greedy), 4 * 4096, "16 for each port, and room for four greedy clients");
    let mut modest = allocated(&relay, "modest");
    assert_eq!(code(modest.bind(0x4000, peer(1))), Some(508));
    greedy[0].refresh(Duration::ZERO).unwrap();
    modest.bind(0x4000, peer(1)).unwrap();
}
