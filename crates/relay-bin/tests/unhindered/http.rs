//! Slow HTTP clients do not delay others.

use std::{
    collections::VecDeque,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use test_support::{
    capability::available,
    http::get,
    namespace,
    port::{free_port, free_tcp_address},
    relay::command,
    wait_until,
};

use super::Bare;

/// The number of half-written requests.
const STRANGERS: usize = 3_000;

/// A time-out that suits a busy machine. Strangers never end, so a relay that served them first would never answer.
const SOON: Duration = Duration::from_secs(30);

/// The address of probes. Strangers come from 127.0.0.1, so one of them is closed to make room, however slow a probe is.
const PROBE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 2), 0));

/// Sends a request as a probe does. Returns the status code.
fn probe(address: SocketAddr, path: &str) -> Result<u16, std::io::Error> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&PROBE.into())?;
    socket.connect_timeout(&address.into(), SOON)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(SOON))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    Ok(response.split(' ').nth(1).unwrap_or_default().parse().unwrap_or_default())
}

/// A connection on which `sent` was sent.
fn stranger(address: SocketAddr, sent: &[u8]) -> Option<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
    // Keeps the response in the relay's buffers.
    socket.set_recv_buffer_size(1).ok()?;
    socket.connect_timeout(&address.into(), SOON).ok()?;
    socket.set_nonblocking(true).ok()?;
    let mut stream = TcpStream::from(socket);
    // Sends as much as there is room for.
    let _ = stream.write(sent);
    Some(stream)
}

/// Opens connections of strangers, replaces closed ones, and probes meanwhile.
fn besiege(sent: &(dyn Fn() -> Vec<u8> + Sync)) {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    }
    let control = free_tcp_address();
    let bare = Bare::start(|command| {
        command.arg("--control-endpoint").arg(control.to_string());
    });
    let open_files = || std::fs::read_dir(format!("/proc/{}/fd", bare.child.id())).unwrap().count();
    let before = open_files();
    for (address, path, code) in [(bare.health, "/healthz", 200), (bare.health, "/metrics", 200), (control, "/", 404)] {
        let sent = sent();
        let mut strangers: VecDeque<_> = (0..STRANGERS / 2).map(|_| stranger(address, &sent)).collect();
        strangers.extend((0..STRANGERS / 2).map(|_| stranger(address, &sent)));
        assert!(open_files() < before + 256, "{} files", open_files());
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    strangers.pop_front();
                    strangers.push_back(stranger(address, &sent));
                    thread::sleep(Duration::from_millis(1));
                }
            });
            let answers: Vec<_> = (0..10).map(|_| probe(address, path)).collect();
            is_over.store(true, Ordering::Relaxed);
            for answer in answers {
                assert_eq!(answer.unwrap(), code, "{path}");
            }
        });
    }
}

#[test]
fn thousands_of_half_written_requests_do_not_keep_a_probe_waiting() {
    besiege(&|| b"GET /healthz HTTP/1.1\r\nHost: rel".to_vec());
}

#[test]
fn connections_without_a_word_do_not_keep_a_probe_waiting() {
    besiege(&Vec::new);
}

#[test]
fn answers_that_nobody_reads_do_not_keep_a_probe_waiting() {
    besiege(&|| b"GET /metrics HTTP/1.1\r\nHost: relay\r\n\r\n".repeat(1_000));
}

#[test]
fn by_default_health_is_answered_on_both_families() {
    if available("netns", namespace::enter()).is_none() {
        return;
    }
    // The relays use the port one after the other. It is chosen while IPv6 is there: `free_port` checks both families.
    let port = free_port().to_string();
    let start = |environment: &[(&str, &str)]| {
        let mut command = command(["--public-ip4-addr", "127.0.0.1", "--listen-port", &port]);
        command.env_remove("HEALTH_CHECK_ADDR").envs(environment.iter().copied());
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::inherit());
        Ended(command.spawn().unwrap())
    };
    let [v4, v6] = ["127.0.0.1:8080", "[::1]:8080"].map(|address| address.parse::<SocketAddr>().unwrap());
    let serves = |address| TcpStream::connect(address).is_ok() && get(address, "/readyz").0 == 200;
    {
        let _relay = start(&[]);
        wait_until(|| serves(v4));
        assert_eq!(get(v6, "/healthz").0, 200);
    }
    {
        // The option gives only this address.
        let _relay = start(&[("HEALTH_CHECK_ADDR", "0.0.0.0:8080")]);
        wait_until(|| serves(v4));
        assert!(TcpStream::connect(v6).is_err());
    }
    {
        // The default address of the other family is used if another program has this one.
        let _other = std::net::TcpListener::bind("0.0.0.0:8080").unwrap();
        let _relay = start(&[]);
        wait_until(|| serves(v6));
    }
    namespace::sysctl("net.ipv6.conf.all.disable_ipv6", "1");
    let _relay = start(&[]);
    wait_until(|| serves(v4));
}

/// A relay that is killed on drop.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
