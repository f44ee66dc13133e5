//! The wall clock jumps by years while the relay runs. libfaketime replaces the system's clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use tempfile::TempDir;
use test_support::{
    capability::can,
    echo::Echo,
    http::get,
    port::free_tcp_address,
    relay::{Relay, SECRET, allocate_and_bind, exchange},
    wait_until,
};
use turn_auth::{AuthSecret, Credentials, UnixTime};
use turn_client::{Allocate, BlockingClient};

const CHANNEL: u16 = 0x4000;
const YEAR: u64 = 365 * 24 * 3600;

/// The library as Debian installs it, for programs with threads.
fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?;
    let mut found = folders.flatten().map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    found.find(|path| path.is_file())
}

/// A wall clock that the test controls.
struct WallClock {
    _folder: TempDir,
    file: PathBuf,
}

impl WallClock {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Self { file: folder.path().join("time"), _folder: folder };
        clock.set("+0");
        clock
    }

    /// Sets the offset from the real time, such as `-3y`.
    fn set(&self, offset: &str) {
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{offset}\n")).unwrap();
        fs::rename(new, &self.file).unwrap();
    }
}

fn start(library: &Path, clock: &WallClock, health: &str) -> Relay {
    let environment = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", clock.file.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        // Only the wall clock jumps, as in reality.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    Relay::start_with(&environment, &["--health-check-addr", health])
}

/// A client whose credentials expire at this time, in seconds since the epoch.
fn client(relay: &Relay, salt: &str, expiry: u64) -> BlockingClient {
    let minted = Credentials::mint(&AuthSecret::new(SECRET).unwrap(), UnixTime(expiry), salt);
    BlockingClient::connect(relay.v4(), turn_client::Credentials::new(minted.username, minted.password)).unwrap()
}

#[test]
fn a_wall_clock_that_is_set_by_years_is_told_once_and_ends_no_allocation() {
    let library = library();
    if !can("faketime", library.is_some(), "libfaketime is not installed (`cargo xtask setup`)") {
        return;
    }
    let (clock, health) = (WallClock::new(), free_tcp_address());
    let relay = start(&library.unwrap(), &clock, &health.to_string());
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let echo = Echo::start(relay.v4());
    let mut old = client(&relay, "old", now + 3600);
    allocate_and_bind(&mut old, CHANNEL, echo.address);
    let code = |salt: &str, expiry: u64| {
        client(&relay, salt, expiry).allocate(Allocate::default()).err().map(|error| error.code().unwrap())
    };
    assert_eq!(code("a", now + 3600), None);

    for (jumps, offset, refused, accepted) in [
        (1, "+10y", now + 3600, now + 11 * YEAR),
        (2, "-30y", now - 31 * YEAR, now - 29 * YEAR),
        // Before the epoch.
        (3, "-70y", 0, now),
        (4, "+0", now - 3600, now + 3600),
    ] {
        clock.set(offset);
        let line = format!("\nwall_clock_jumps_total {jumps}\n");
        wait_until(|| {
            // The relay reads the clock every ten seconds.
            thread::sleep(Duration::from_millis(20));
            get(health, "/metrics").1.contains(&line)
        });
        exchange(&mut old, CHANNEL, b"still there");
        old.refresh(Duration::from_secs(600)).unwrap();
        old.bind(CHANNEL, echo.address).unwrap();
        assert_eq!(code(&format!("refused-{jumps}"), refused), Some(401), "{offset}");
        assert_eq!(code(&format!("accepted-{jumps}"), accepted), None, "{offset}");
        assert_eq!((get(health, "/healthz").0, get(health, "/readyz").0), (200, 200));
    }
    let log = relay.stop().log;
    assert_eq!(log.matches("the wall clock was set").count(), 4, "{log}");
}
