//! A real OpenTelemetry collector accepts the relay's telemetry, and a broken one does not affect relaying.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use test_support::{
    collector::Collector,
    echo::Echo,
    http::get,
    port::{free_port, free_tcp_address},
    relay::{self, End, Relay, command},
    wait_until,
};
use turn_client::{Allocate, BlockingClient};

const CHANNEL: u16 = 0x4000;

/// A short interval, for tests.
const INTERVAL: [&str; 2] = ["--otel-metric-export-interval", "100"];

/// The same for spans.
const SPAN_INTERVAL: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "100");

fn start(collector: SocketAddr, options: &[&str]) -> Relay {
    start_with(&[], collector, options)
}

fn start_with(environment: &[(&str, &str)], collector: SocketAddr, options: &[&str]) -> Relay {
    let endpoint = collector.to_string();
    Relay::start_with(environment, &[&["--otlp-grpc-endpoint", &endpoint], &INTERVAL[..], options].concat())
}

/// Waits until the collector has answered: at its end, the relay waits only for a collector that has. The collector prints data
/// before it answers.
fn wait_for_answer(collector: &Collector) {
    wait_until(|| collector.text().matches("Name: data_relayed_userspace_bytes").count() >= 2);
}

/// Relays `count` packets of 100 bytes and their echoes.
fn transfer(relay: &Relay, echo: &Echo, salt: &str, count: u32) -> BlockingClient {
    let mut client = relay.client(relay.v4(), salt);
    relay::allocate_and_bind(&mut client, CHANNEL, echo.address);
    exchange(&mut client, count);
    client
}

fn exchange(client: &mut BlockingClient, count: u32) {
    for number in 0..count {
        let mut payload = [0; 100];
        payload[..4].copy_from_slice(&number.to_be_bytes());
        relay::exchange(client, CHANNEL, &payload);
    }
}

#[test]
fn a_collector_gets_both_data_counters_and_the_span_of_an_allocation() {
    let Some(collector) = Collector::start("values") else { return };
    let mut options = vec!["--otel-resource-attributes", "service.instance.id=relay-7,cloud.region=here"];
    options.extend(["--otel-service-name", "relay-under-test"]);
    let relay = start_with(&[SPAN_INTERVAL], collector.address, &options);
    let echo = Echo::start(relay.v4());
    let _client = transfer(&relay, &echo, "a", 250);
    wait_until(|| collector.has_value("data_relayed_userspace_bytes", 2 * 250 * 100));
    assert!(collector.has_value("data_relayed_ebpf_bytes", 0));
    assert!(collector.has_value("active_allocations", 1));
    assert!(collector.has_value("active_channels", 1));
    let text = collector.text();
    for part in [
        "InstrumentationScope relay",
        "service.name: Str(relay-under-test)",
        "service.namespace: Str(firezone)",
        "service.instance.id: Str(relay-7)",
        "cloud.region: Str(here)",
        "message_type: Str(channel_bind)",
        "error_code: Str(401)",
    ] {
        assert!(text.contains(part), "{part}");
    }

    wait_until(|| collector.text().contains("outcome: Str(success)"));
    let End { status, log } = relay.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    let text = collector.text();
    let spans =
        text.lines().filter(|line| line.trim().starts_with("Name") && line.trim().ends_with(": allocate")).count();
    assert_eq!(spans, 1, "one span for the allocation, none for 500 packets");
}

#[test]
fn the_last_figures_are_sent_at_the_end() {
    let Some(collector) = Collector::start("last") else { return };
    // Longer than the time between the second export and the end.
    let options = ["--otlp-grpc-endpoint", &collector.address.to_string(), "--otel-metric-export-interval", "3000"];
    let relay = Relay::start(&options);
    wait_for_answer(&collector);
    let echo = Echo::start(relay.v4());
    let _client = transfer(&relay, &echo, "a", 10);
    relay.stop();
    wait_until(|| collector.has_value("data_relayed_userspace_bytes", 2 * 10 * 100));
}

#[test]
fn without_a_collector_the_relay_relays_and_says_so_once() {
    let relay = start(free_tcp_address(), &["--log-filter", "debug"]);
    let echo = Echo::start(relay.v4());
    let _client = transfer(&relay, &echo, "a", 100);
    // The second failure is logged at debug.
    wait_until(|| relay.has_logged("still cannot send metrics"));
    let End { status, log } = relay.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(log.lines().filter(|line| line.contains("cannot send metrics to")).count(), 1, "{log}");
}

#[test]
fn logs_for_google_cloud_point_to_their_trace() {
    let options = ["--log-format", "google-cloud", "--log-filter", "debug", "--google-cloud-project-id", "acme"];
    let relay = start(free_tcp_address(), &options);
    relay.client(relay.v4(), "a").allocate(Allocate::default()).unwrap();
    let log = relay.stop().log;
    let created: Vec<&str> = log.lines().filter(|line| line.contains("\"allocation created\"")).collect();
    let [created] = created[..] else { panic!("{log}") };
    let entry: serde_json::Value = serde_json::from_str(created).unwrap();
    assert_eq!((&entry["severity"], &entry["span"]), (&"DEBUG".into(), &"allocate".into()), "{created}");
    let trace = entry["logging.googleapis.com/trace"].as_str().unwrap();
    let id = trace.strip_prefix("projects/acme/traces/").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{trace}");
    assert_eq!(entry["logging.googleapis.com/spanId"].as_str().unwrap().len(), 16);
}

#[test]
fn a_collector_that_hangs_holds_nothing_up() {
    // The kernel accepts connections, and nothing answers.
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let health = free_tcp_address();
    let relay = start(hanging.local_addr().unwrap(), &["--health-check-addr", &health.to_string()]);
    let echo = Echo::start(relay.v4());
    let _client = transfer(&relay, &echo, "a", 100);
    assert_eq!(get(health, "/readyz").0, 200);
    wait_until(|| get(health, "/metrics").1.contains("\ndata_relayed_userspace_bytes_total 20000\n"));
    // The relay ends long before the collector would count as failed.
    let End { status, log } = relay.stop();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn a_collector_that_hangs_midway_holds_nothing_up() {
    let Some(collector) = Collector::start("freezes") else { return };
    let relay = start(collector.address, &[]);
    let echo = Echo::start(relay.v4());
    let mut client = transfer(&relay, &echo, "a", 50);
    wait_until(|| collector.has_value("data_relayed_userspace_bytes", 2 * 50 * 100));
    collector.freeze();
    exchange(&mut client, 200);
    // The collector does not answer the export before the last.
    let End { status, log } = relay.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("packets (25000 bytes) relayed to peers"), "{log}");
}

#[test]
fn a_registration_with_the_portal_is_a_span() {
    let Some(collector) = Collector::start("portal") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
    let portal = runtime.block_on(dev_portal::DevPortal::bind(([127, 0, 0, 1], 0).into(), "token")).unwrap();
    let url = format!("ws://{}", portal.local_addr().unwrap());
    // Runs until this process ends.
    thread::spawn(move || runtime.block_on(portal.run()));

    let (port, health) = (free_port(), free_tcp_address());
    let mut command = command(["--public-ip4-addr", "127.0.0.1", "--listen-port", &port.to_string()]);
    command.args(["--otlp-grpc-endpoint", &collector.address.to_string()]).args(INTERVAL);
    command.args(["--health-check-addr", &health.to_string()]);
    command.env("FIREZONE_TOKEN", "token").env("FIREZONE_API_URL", url);
    let relay = Relay::spawn_silent(&mut command, port);
    wait_until(|| TcpStream::connect(health).is_ok() && get(health, "/readyz").0 == 200);
    assert!(get(health, "/metrics").1.contains("\nportal_state{state=\"registered\"} 1\n"));
    wait_for_answer(&collector);
    // The exporter sends the span with its batch, or at the end.
    relay.stop();
    wait_until(|| collector.text().contains("portal_registration"));
}

/// A proxy in front of a collector, which can be cut off.
struct Way {
    address: SocketAddr,
    is_open: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Way {
    fn to(collector: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = Self {
            address: listener.local_addr().unwrap(),
            is_open: Arc::new(AtomicBool::new(true)),
            streams: Arc::default(),
        };
        let (is_open, streams) = (Arc::clone(&way.is_open), Arc::clone(&way.streams));
        // Runs until this process ends.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut streams = streams.lock().unwrap();
                if is_open.load(Ordering::Relaxed) {
                    let onward = TcpStream::connect(collector).unwrap();
                    for (mut from, mut to) in [(&stream, &onward), (&onward, &stream)]
                        .map(|(from, to)| (from.try_clone().unwrap(), to.try_clone().unwrap()))
                    {
                        thread::spawn(move || std::io::copy(&mut from, &mut to));
                    }
                    streams.extend([stream, onward]);
                }
            }
        });
        way
    }

    fn set_open(&self, is_open: bool) {
        self.is_open.store(is_open, Ordering::Relaxed);
        if !is_open {
            for stream in self.streams.lock().unwrap().drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

#[test]
fn a_collector_that_comes_and_goes_is_told_once_each_time_and_costs_no_memory() {
    const TIMES: usize = 10;
    let Some(collector) = Collector::start("flaps") else { return };
    let (way, health) = (Way::to(collector.address), free_tcp_address());
    let options = ["--health-check-addr", &health.to_string()];
    let relay = start_with(&[SPAN_INTERVAL], way.address, &options);
    let echo = Echo::start(relay.v4());
    let mut client = transfer(&relay, &echo, "a", 10);
    let count = |text: &str| relay.logged(text);
    let mut settled = 0;
    for time in 1..=TIMES {
        wait_until(|| count("the OpenTelemetry collector takes metrics") == time);
        way.set_open(false);
        wait_until(|| count("cannot send metrics to") == time);
        // Spans that no collector takes.
        for number in 0..50 {
            let mut other = relay.client(relay.v4(), &format!("{time}-{number}"));
            other.allocate(Allocate::default()).unwrap();
            other.refresh(std::time::Duration::ZERO).unwrap();
        }
        exchange(&mut client, 10);
        way.set_open(true);
        if time == 3 {
            settled = relay.resident_kib();
        }
    }
    wait_until(|| count("the OpenTelemetry collector takes metrics") == TIMES + 1);
    wait_until(|| collector.has_value("data_relayed_userspace_bytes", 2 * 10 * 100 * (1 + TIMES as u64)));
    let grown = relay.resident_kib().saturating_sub(settled);
    assert!(grown < 8 << 10, "{grown} KiB more");
    let faults = get(health, "/metrics").1;
    let faults = faults.lines().find_map(|line| line.strip_prefix("faults_total{part=\"collector\"} ")).unwrap();
    assert!(faults.parse::<usize>().unwrap() >= TIMES, "{faults}");
}

#[test]
fn a_collector_that_dies_makes_no_difference() {
    let Some(collector) = Collector::start("dies") else { return };
    let relay = start(collector.address, &[]);
    let echo = Echo::start(relay.v4());
    let mut client = transfer(&relay, &echo, "a", 50);
    wait_until(|| collector.has_value("data_relayed_userspace_bytes", 2 * 50 * 100));
    // The collector prints data before it answers.
    wait_until(|| relay.has_logged("the OpenTelemetry collector takes metrics"));
    drop(collector);
    exchange(&mut client, 100);
    wait_until(|| relay.has_logged("cannot send metrics"));
    exchange(&mut client, 100);
    let End { status, log } = relay.stop();
    assert_eq!(status.code(), Some(0), "{log}");
}
