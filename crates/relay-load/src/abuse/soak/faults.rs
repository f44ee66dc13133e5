//! The faults of the soak scenario.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use turn_client::Allocate;

use super::{
    super::{
        crowd_of_connections::Connections, cycles, echo::Echo, mutated, people::STANDARD, relay::Relay, strangers,
    },
    collector::Behaviour,
    ground::Stage,
};
use crate::{
    client::CHANNEL,
    flood::{Flood, Kind},
    http, netns,
};

/// A kind of fault.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Flood(Kind),
    Strangers,
    Mutated,
    HalfOpenConnections,
    ClientsVanish,
    ClientsComeAndGo,
    Collector(Behaviour),
    LogBlocked,
    RulesChange,
    AddressesComeAndGo,
    OwnAddressGone,
}

/// How often a periodic fault happens.
const OFTEN: Duration = Duration::from_millis(100);

/// How many clients vanish each time.
const VANISHING: usize = 20;

/// How many half-open connections there are, and from how many addresses.
const CONNECTIONS: usize = 2_000;
const SOURCES: u32 = 500;

/// How many datagrams strangers send per second.
const RATE: u64 = 30_000;

/// How many datagrams they send per second to fill the log.
const LINES_RATE: u64 = 5_000;

/// The first user of clients that vanish, and of those that come and go.
const VANISHING_USERS: usize = 3_000_000;

/// How many clients have vanished. Each is a new user.
static VANISHED: AtomicU64 = AtomicU64::new(0);

impl Fault {
    /// All faults, without those that need a separate network unless `is_alone`.
    pub(super) fn all(is_alone: bool) -> Vec<Self> {
        let mut all: Vec<_> = Kind::ALL.map(Self::Flood).to_vec();
        all.extend([
            Self::Strangers,
            Self::Mutated,
            Self::HalfOpenConnections,
            Self::ClientsVanish,
            Self::ClientsComeAndGo,
            Self::Collector(Behaviour::Silent),
            Self::Collector(Behaviour::Refuses),
            Self::Collector(Behaviour::HangsUp),
            Self::LogBlocked,
            Self::RulesChange,
        ]);
        if is_alone {
            all.extend([Self::AddressesComeAndGo, Self::OwnAddressGone]);
        }
        all
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Flood(kind) => kind.name(),
            Self::Strangers => "requests from 65,000 addresses",
            Self::Mutated => "mutated packets",
            Self::HalfOpenConnections => "half-open HTTP connections",
            Self::ClientsVanish => "clients vanish",
            Self::ClientsComeAndGo => "clients come and go",
            Self::Collector(Behaviour::Silent) => "the collector is stopped",
            Self::Collector(Behaviour::Refuses) => "the collector refuses",
            Self::Collector(Behaviour::HangsUp) => "the collector hangs up",
            Self::LogBlocked => "nobody reads the log, at TRACE",
            Self::RulesChange => "rules on peers change",
            Self::AddressesComeAndGo => "addresses come and go",
            Self::OwnAddressGone => "the relay's own address is gone",
        }
    }

    /// The unit of the count that [`Self::happen`] returns.
    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::Flood(_) | Self::Strangers | Self::Mutated | Self::LogBlocked => "datagrams",
            Self::HalfOpenConnections => "connections",
            Self::ClientsVanish | Self::ClientsComeAndGo => "clients",
            Self::Collector(Behaviour::HangsUp) => "connections",
            Self::OwnAddressGone => "times",
            Self::Collector(_) => "x 0.1 s",
            Self::RulesChange | Self::AddressesComeAndGo => "changes",
        }
    }

    /// Whether data may be lost. Floods are as fast as this machine allows, and leave the relay too little CPU time.
    pub(super) const fn may_lose(self) -> bool {
        matches!(self, Self::Flood(_) | Self::OwnAddressGone)
    }

    /// Applies the fault until `is_over`. Returns how much of it there was.
    pub(super) fn happen(self, stage: &Stage, relay: &Relay, is_over: &AtomicBool) -> Result<u64> {
        match self {
            Self::Flood(kind) => {
                let server = relay.server(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
                let flood = Flood::start(relay.address, &kind.datagram(&server)?)?;
                wait(is_over);
                Ok(flood.stop()?.sent)
            }
            Self::Strangers => strangers::disturb(relay, RATE, stage.seed, is_over),
            Self::Mutated => mutated::disturb(relay, RATE, stage.seed, is_over),
            Self::HalfOpenConnections => {
                let mut connections = Connections::new(relay.health, CONNECTIONS, SOURCES, Duration::from_millis(500))?;
                connections.hold_until(is_over)
            }
            Self::ClientsVanish => vanish(relay),
            Self::ClientsComeAndGo => cycles::disturb(relay, is_over),
            Self::Collector(behaviour) => {
                stage.collector.behave(behaviour)?;
                let mut count = 0;
                repeat(is_over, || {
                    count += stage.collector.attend(behaviour);
                    Ok(())
                })?;
                stage.collector.behave(Behaviour::Refuses)?;
                Ok(count)
            }
            Self::LogBlocked => {
                set_log_filter(stage, "trace")?;
                stage.log.block(true);
                // Each datagram makes a line in the log.
                let result = strangers::disturb(relay, LINES_RATE, stage.seed, is_over);
                stage.log.block(false);
                set_log_filter(stage, "info")?;
                result
            }
            Self::RulesChange => {
                let mut changes = 0;
                repeat(is_over, || {
                    changes += 1;
                    let rule = format!("deny 192.0.2.{}\n", changes % 256);
                    std::fs::write(&stage.rules, rule).context("cannot write rules on peers")
                })?;
                Ok(changes)
            }
            Self::AddressesComeAndGo => {
                let mut changes = 0;
                repeat(is_over, || {
                    let last = 1 + changes % 200;
                    for what in ["add", "del"] {
                        netns::run("ip", &format!("addr {what} 198.51.100.{last}/32 dev lo"))?;
                        changes += 1;
                    }
                    Ok(())
                })?;
                Ok(changes)
            }
            Self::OwnAddressGone => {
                netns::run("ip", "addr del 127.0.0.1/8 dev lo")?;
                wait(is_over);
                netns::run("ip", "addr add 127.0.0.1/8 dev lo")?;
                Ok(1)
            }
        }
    }
}

fn wait(is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(5));
    }
}

/// Does `something` at intervals until `is_over`, at least once.
fn repeat(is_over: &AtomicBool, mut something: impl FnMut() -> Result<()>) -> Result<()> {
    loop {
        something()?;
        if is_over.load(Ordering::Relaxed) {
            return Ok(());
        }
        thread::sleep(OFTEN);
    }
}

fn set_log_filter(stage: &Stage, directives: &str) -> Result<()> {
    let path = format!("/log_filter?directives={directives}");
    let (status, said) = http::request_at(&stage.starter.control(), "POST", &path)?;
    ensure!(status == 200, "the control endpoint answers {status}: {said}");
    Ok(())
}

/// Clients allocate, bind a channel, and send nothing any more.
fn vanish(relay: &Relay) -> Result<u64> {
    let echo = Echo::start(IpAddr::V4(Ipv4Addr::new(127, 0, 2, 2)))?;
    for _ in 0..VANISHING {
        let number = VANISHED.fetch_add(1, Ordering::Relaxed);
        let host = IpAddr::V4(Ipv4Addr::new(127, 21, u8::try_from(number % 200)?, 1));
        let mut client = relay.client(host, VANISHING_USERS + usize::try_from(number)?, STANDARD)?;
        client.allocate(Allocate::default()).context("a client that is to vanish cannot allocate")?;
        client.bind(CHANNEL, echo.address).context("a client that is to vanish cannot bind a channel")?;
        client.send(CHANNEL, b"farewell")?;
    }
    Ok(VANISHING as u64)
}
