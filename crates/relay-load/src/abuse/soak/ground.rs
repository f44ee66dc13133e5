//! The relay, the good clients, and the resources of the faults.

use std::{fmt, path::PathBuf, process::Stdio, thread, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    super::{
        figures::mib,
        good_client::GoodClient,
        relay::{Relay, Starter},
    },
    args::Args,
    collector::Collector,
    log::Log,
};

pub(super) struct Ground {
    pub(super) stage: Stage,
    pub(super) good: GoodClient,
    pub(super) relay: Relay,
    pub(super) log: Log,
}

/// The resources of the faults.
pub(super) struct Stage {
    /// The starter of the relay, which owns its directory.
    pub(super) starter: Starter,
    pub(super) collector: Collector,
    pub(super) log: Log,
    /// The file of peer rules, which the relay reads when it changes.
    pub(super) rules: PathBuf,
    pub(super) seed: u64,
}

/// What the relay uses.
pub(super) struct State {
    pub(super) resident: u64,
    pub(super) files: u64,
    pub(super) allocations: u64,
}

impl State {
    /// The open files that are not relay sockets.
    pub(super) const fn other_files(&self) -> u64 {
        self.files.saturating_sub(self.allocations)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resident, files, allocations } = self;
        write!(f, "memory {}, {files} files, {allocations} allocations", mib(*resident))
    }
}

impl Ground {
    pub(super) fn new(args: &Args, mut starter: Starter) -> Result<Self> {
        let collector = Collector::new()?;
        let rules = starter.file("peers");
        std::fs::write(&rules, "").context("cannot write rules on peers")?;
        let mut control = std::ffi::OsString::from("unix:");
        control.push(starter.control());
        starter.set("CONTROL_ENDPOINT", control);
        starter.set("PEER_RULES_FILE", &rules);
        starter.set("OTLP_GRPC_ENDPOINT", collector.address.to_string());
        starter.set("OTEL_METRIC_EXPORT_INTERVAL", "200");
        starter.set("RUST_LOG", "info");
        let mut command = starter.command();
        command.stderr(Stdio::piped());
        let mut relay = starter.spawn_by(crate::started::Started::spawn, command)?;
        let log = Log::read(relay.process.take_stderr().context("the relay has no log")?);
        if let Err(error) = relay.wait_until_up() {
            log.print_last();
            return Err(error);
        }
        let good = GoodClient::open(&relay, args.clients, args.rate)?;
        relay.wait_for_metric("active_allocations", args.clients as u64)?;
        let stage = Stage { starter, collector, log: log.clone(), rules, seed: args.seed };
        Ok(Self { stage, good, relay, log })
    }

    /// What the relay uses now.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub(super) fn state(&self) -> Result<State> {
        let allocations = self.relay.metric("active_allocations", "")?;
        // The connection for the metrics may still be open.
        thread::sleep(Duration::from_millis(100));
        let files = self.relay.open_files()? as u64;
        Ok(State { resident: self.relay.resident()?, files, allocations })
    }

    /// The same, after waiting for a limited time until closed connections are gone.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub(super) fn settled_state(&self, before: &State) -> Result<State> {
        let mut state = self.state()?;
        for _ in 0..100 {
            if state.other_files() <= before.other_files() {
                break;
            }
            state = self.state()?;
        }
        Ok(state)
    }

    /// Stops the clients and the relay.
    ///
    /// # Errors
    ///
    /// When the relay ends with an error.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.good.close();
        self.relay.process.signal(nix::sys::signal::Signal::SIGINT);
        let status = self.relay.process.wait()?;
        anyhow::ensure!(status.success(), "the relay ended with {status}");
        Ok(())
    }
}
