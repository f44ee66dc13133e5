//! The relay with a portal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use dev_portal::DevPortal;
use serde_json::Value;
use test_support::{
    PATIENCE,
    capability::has_coturn,
    echo::Echo,
    port::{free_port, free_tcp_address},
    relay::{self, Relay, allocate_and_bind, command, run},
    wait_until,
};
use tokio::{runtime::Builder, sync::oneshot};
use turn_auth::{AuthSecret, UnixTime};
use turn_client::{Allocate, BlockingClient, Credentials};

const TOKEN: &str = "a-relay-token";
const CHANNEL: u16 = 0x4000;

/// A development portal on a thread. Dropping it closes its connections.
struct Portal {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Portal {
    /// Starts a portal. No other test gets its address, even after its end.
    fn start() -> Self {
        Self::start_at(free_tcp_address())
    }

    fn start_at(listen: SocketAddr) -> Self {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build().unwrap();
        let portal = runtime.block_on(DevPortal::bind(listen, TOKEN)).unwrap();
        let address = portal.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serve = async move {
            tokio::select! {
                never = portal.run() => match never {},
                _ = stopped => {}
            }
        };
        let thread = thread::spawn(move || runtime.block_on(serve));
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    fn get(&self, path: &str) -> Value {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        serde_json::from_str(body).unwrap()
    }

    /// Waits until this many relays are registered, and returns their data.
    fn wait_for_relays(&self, count: usize) -> Vec<Value> {
        let pause = Duration::from_millis(20);
        for _ in 0..2 * PATIENCE.as_millis() / pause.as_millis() {
            let relays = self.get("/relays");
            let relays = relays.as_array().unwrap();
            if relays.len() == count {
                return relays.clone();
            }
            thread::sleep(pause);
        }
        panic!("{count} relays should be registered, but there are {}", self.get("/relays"));
    }

    /// Credentials for the first relay.
    fn mint(&self) -> Credentials {
        let configuration = self.get("/credentials");
        let text = |name: &str| configuration["iceServers"][0][name].as_str().unwrap().to_owned();
        Credentials::new(text("username"), text("credential"))
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().unwrap().join();
    }
}

fn relay_command(portal: SocketAddr, port: u16) -> Command {
    let mut command = command(["--public-ip4-addr", "127.0.0.1", "--listen-port", &port.to_string()]);
    command.env("FIREZONE_TOKEN", format!(" {TOKEN}\n")).env("FIREZONE_API_URL", format!("ws://{portal}"));
    command
}

fn start_relay(portal: SocketAddr) -> Relay {
    let port = free_port();
    Relay::spawn_silent(&mut relay_command(portal, port), port)
}

fn connect(relay: &Relay, credentials: Credentials) -> BlockingClient {
    BlockingClient::connect(relay.v4(), credentials).unwrap()
}

/// Sends `number` to the peer and receives the echo.
#[track_caller]
fn exchange(client: &mut BlockingClient, number: u32) {
    relay::exchange(client, CHANNEL, &number.to_be_bytes());
}

/// The only line that begins with `error:`.
#[track_caller]
fn only_error(log: &str) -> &str {
    let errors: Vec<&str> = log.lines().filter(|line| line.starts_with("error:")).collect();
    let [error] = errors[..] else { panic!("not one error:\n{log}") };
    error
}

#[test]
fn credentials_minted_by_the_portal_relay_and_others_do_not() {
    let portal = Portal::start();
    let port = free_port();
    let relay = Relay::spawn_silent(relay_command(portal.address, port).env("FIREZONE_NAME", "west <1>"), port);
    let registered = &portal.wait_for_relays(1)[0];
    assert_eq!(registered["name"], "west <1>");
    assert_eq!(registered["ipv4"], "127.0.0.1");
    assert_eq!(registered["port"], port);
    assert!(registered["user_agent"].as_str().unwrap().contains(concat!(" relay/", env!("CARGO_PKG_VERSION"), " (")));

    let echo = Echo::start(relay.v4());
    let mut client = connect(&relay, portal.mint());
    allocate_and_bind(&mut client, CHANNEL, echo.address);
    for number in 0..20 {
        exchange(&mut client, number);
    }

    let minted = |secret: AuthSecret, expiry: u64| {
        let minted = turn_auth::Credentials::mint(&secret, UnixTime(expiry), "salt");
        Credentials::new(minted.username, minted.password)
    };
    let foreign = minted(AuthSecret::from_random([1; 32]), 4_000_000_000);
    assert_eq!(connect(&relay, foreign).allocate(Allocate::default()).unwrap_err().code(), Some(401));
    let end = relay.stop();
    assert!(end.status.success());
    assert!(!end.log.contains(TOKEN), "the token is logged:\n{}", end.log);
}

#[test]
fn expired_credentials_are_refused() {
    let portal = Portal::start();
    let port = free_port();
    let secret = "00112233445566778899aabbccddeeff";
    let relay = Relay::spawn_silent(relay_command(portal.address, port).env("AUTH_SECRET", secret), port);
    portal.wait_for_relays(1);
    let mint = |expiry: u64| {
        let secret = AuthSecret::new(secret).unwrap();
        let minted = turn_auth::Credentials::mint(&secret, UnixTime(expiry), "salt");
        Credentials::new(minted.username, minted.password)
    };
    assert_eq!(connect(&relay, mint(1_700_000_000)).allocate(Allocate::default()).unwrap_err().code(), Some(401));
    connect(&relay, mint(4_000_000_000)).allocate(Allocate::default()).unwrap();
    let end = relay.stop();
    assert!(!end.log.contains(secret), "the secret is logged:\n{}", end.log);
}

#[test]
fn a_username_that_allocates_again_from_elsewhere_replaces_its_allocation() {
    let portal = Portal::start();
    let relay = start_relay(portal.address);
    portal.wait_for_relays(1);
    let credentials = portal.mint();
    let echo = Echo::start(relay.v4());
    let mut first = connect(&relay, credentials.clone());
    allocate_and_bind(&mut first, CHANNEL, echo.address);
    exchange(&mut first, 1);
    let mut second = connect(&relay, credentials);
    allocate_and_bind(&mut second, CHANNEL, echo.address);
    exchange(&mut second, 2);
    // The two may be on different workers, whose messages take a moment.
    let refused = (0..200).find_map(|_| {
        thread::sleep(Duration::from_millis(20));
        first.refresh(Duration::from_secs(600)).err()
    });
    assert_eq!(refused.expect("the first allocation lives on").code(), Some(437));
    exchange(&mut second, 3);
}

#[test]
fn a_wrong_token_ends_the_relay_with_one_line() {
    let portal = Portal::start();
    let port = free_port();
    let relay = Relay::spawn_silent(relay_command(portal.address, port).env("FIREZONE_TOKEN", "wrong-one"), port);
    let end = relay.wait();
    assert_eq!(end.status.code(), Some(1));
    let error = only_error(&end.log);
    assert!(error.contains("401") && error.contains("FIREZONE_TOKEN") && !error.contains("wrong-one"), "{error}");
}

#[test]
fn a_portal_that_is_not_there_ends_the_relay_after_its_startup_limit() {
    let closed = free_tcp_address();
    let port = free_port();
    let relay = Relay::spawn_silent(relay_command(closed, port).env("FIREZONE_STARTUP_TIMEOUT", "1s"), port);
    let end = relay.wait();
    assert_eq!(end.status.code(), Some(1));
    let error = only_error(&end.log);
    assert!(error.contains("FIREZONE_API_URL") && error.contains(&closed.to_string()), "{error}");
}

#[test]
fn nothing_is_served_before_the_portal_says_so() {
    // The portal's port accepts connections and sends nothing.
    let address = free_tcp_address();
    let silent = TcpListener::bind(address).unwrap();
    let relay = start_relay(address);
    // The portal client has connected, so the relay's sockets are open.
    let (connection, _) = silent.accept().unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.connect(relay.v4()).unwrap();
    stranger.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let binding_request = *b"\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl";
    let mut buffer = [0; 1500];
    for _ in 0..3 {
        stranger.send(&binding_request).unwrap();
        assert!(stranger.recv(&mut buffer).is_err(), "it answered");
    }

    drop((silent, connection));
    let portal = Portal::start_at(address);
    portal.wait_for_relays(1);
    let mut client = connect(&relay, portal.mint());
    client.allocate(Allocate::default()).unwrap();
}

#[test]
fn a_portal_that_vanishes_costs_no_packet() {
    let portal = Portal::start();
    let relay = start_relay(portal.address);
    portal.wait_for_relays(1);
    let mut client = connect(&relay, portal.mint());
    let echo = Echo::start(relay.v4());
    allocate_and_bind(&mut client, CHANNEL, echo.address);
    exchange(&mut client, 0);

    // One packet at a time, each of which must come back.
    let done = Arc::new(AtomicBool::new(false));
    let transfer = {
        let done = Arc::clone(&done);
        thread::spawn(move || {
            let mut packets = 0;
            while !done.load(Ordering::Relaxed) {
                packets += 1;
                exchange(&mut client, packets);
                thread::sleep(Duration::from_micros(200));
            }
            (packets, client)
        })
    };
    let address = portal.address;
    let mut portal = Some(portal);
    for _ in 0..3 {
        drop(portal.take());
        // Some attempts to reconnect fail.
        thread::sleep(Duration::from_millis(700));
        let back = Portal::start_at(address);
        back.wait_for_relays(1);
        portal = Some(back);
    }
    done.store(true, Ordering::Relaxed);
    let (packets, mut client) = transfer.join().unwrap();
    assert!(packets > 100, "only {packets} packets");

    // The secret is the same, so new and old credentials are valid.
    client.refresh(Duration::from_secs(600)).unwrap();
    connect(&relay, portal.unwrap().mint()).allocate(Allocate::default()).unwrap();
    let end = relay.stop();
    // One warning for each kind of failure, independent of the number of attempts: the connection breaks, then cannot be made.
    let warnings = end.log.matches("no connection to the portal; relaying goes on").count();
    assert!((3..=6).contains(&warnings), "{}", end.log);
    assert_eq!(end.log.matches("registered with the portal").count(), 4, "{}", end.log);
}

#[test]
fn a_portal_that_stays_away_for_too_long_ends_the_relay() {
    let portal = Portal::start();
    let port = free_port();
    let relay = Relay::spawn_silent(relay_command(portal.address, port).env("FIREZONE_MAX_PARTITION_TIME", "1s"), port);
    portal.wait_for_relays(1);
    drop(portal);
    let end = relay.wait();
    assert_eq!(end.status.code(), Some(1));
    assert!(only_error(&end.log).contains("out of reach for 1s"), "{}", end.log);
}

#[test]
fn a_relay_that_is_stopped_leaves_the_portal() {
    let portal = Portal::start();
    let relay = start_relay(portal.address);
    portal.wait_for_relays(1);
    let end = relay.stop();
    assert_eq!(end.status.code(), Some(0), "{}", end.log);
    portal.wait_for_relays(0);
}

#[test]
fn what_is_wrong_with_the_portals_options_is_told_with_all_else() {
    let (status, _, log) = run([
        "--firezone-token",
        "token",
        "--firezone-api-url",
        "portal.example",
        "--firezone-startup-timeout",
        "soon",
        "--listen-port",
        "0",
    ]);
    assert_eq!(status.code(), Some(2));
    let errors: Vec<&str> = log.lines().filter(|line| line.starts_with("error:")).collect();
    assert_eq!(errors.len(), 3, "{log}");
    for variable in ["FIREZONE_API_URL", "FIREZONE_STARTUP_TIMEOUT", "LISTEN_PORT"] {
        assert!(errors.iter().any(|error| error.contains(&format!("({variable})"))), "{variable} in {log}");
    }
}

#[test]
fn minted_credentials_work_with_an_unmodified_client() {
    if !has_coturn() {
        return;
    }
    let portal = Portal::start();
    let relay = start_relay(portal.address);
    portal.wait_for_relays(1);
    let configuration = portal.get("/credentials");
    let text = |name: &str| configuration["iceServers"][0][name].as_str().unwrap();
    let echo = Echo::start(relay.v4());
    let relays = |password: &str| {
        let mut client = Command::new("turnutils_uclient");
        // One allocation: with a portal, a second one of the same username replaces the first.
        client.args(["-c", "-m", "1", "-n", "50", "-z", "5", "-u", text("username"), "-w", password]);
        client.args(["-e", "127.0.0.1", "-r", &echo.address.port().to_string(), "-p", &relay.port.to_string()]);
        let output = client.arg("127.0.0.1").output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (succeeded, log) = relays(text("credential"));
    assert!(succeeded && log.contains("tot_send_msgs=50, tot_recv_msgs=50"), "{log}");
    let (succeeded, log) = relays("wrong");
    assert!(!succeeded && !log.contains("tot_recv_msgs=50"), "{log}");
}

/// Clients leave a relay that is not registered any more, or whose secret is another one.
#[test]
fn a_relay_that_hands_over_stays_registered_with_the_same_secret() {
    let portal = Portal::start();
    let relay = start_relay(portal.address);
    portal.wait_for_relays(1);
    let credentials = portal.mint();
    let echo = Echo::start(relay.v4());
    let mut client = connect(&relay, credentials.clone());
    allocate_and_bind(&mut client, CHANNEL, echo.address);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = scope.spawn(|| {
            // For at most half a minute, so that a test that fails ends.
            for look in 0..6_000 {
                if is_over.load(Ordering::Relaxed) {
                    return look;
                }
                assert_ne!(portal.get("/relays").as_array().unwrap().len(), 0, "look {look}");
                thread::sleep(Duration::from_millis(5));
            }
            0
        });
        for upgrades in 1..=3 {
            relay.signal("HUP");
            wait_until(|| relay.logged("handed over: all allocations") == usize::try_from(upgrades).unwrap());
            wait_until(|| fs::read(format!("/proc/{}/cmdline", relay.id())).unwrap().ends_with(b"supervise\0"));
            portal.wait_for_relays(1);
            exchange(&mut client, upgrades);
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(watching.join().unwrap() > 0);
    });
    // What the portal minted before is accepted by the last process.
    let mut other = connect(&relay, credentials);
    allocate_and_bind(&mut other, CHANNEL, echo.address);
    exchange(&mut other, 0);
    assert_eq!(relay.stop().status.code(), Some(0));
}
