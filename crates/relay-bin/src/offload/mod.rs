//! Data paths that relay before packets reach the sockets, such as XDP.

mod addresses;
mod auto;
mod config;
mod events;
mod inherited;
mod next_hops;
mod shares;
mod table;
mod waiting;
mod worker;
mod xdp;

use std::sync::{Arc, Mutex};

use relay_server::{Flow, FlowKey, Traffic};

use crate::addresses::AddressState;

#[cfg(test)]
pub(crate) use self::worker::{FlowTable, Inserted, Worker};
pub(crate) use self::{
    addresses::LocalAddresses,
    auto::{peers_later, start},
    config::{Choice, OffloadConfig},
    inherited::InheritedStatistics,
    xdp::Xdp,
};

/// A data path that forwards flows before they reach this process. Best effort: packets of a flow that it does not accept are
/// relayed through the sockets.
pub(crate) trait Offload {
    /// Forwards `flow` from now on. Its key must not be installed. Returns whether the flow was accepted. A flow that is refused
    /// for lack of room waits.
    fn install(&mut self, flow: &Flow) -> bool;

    /// Installs one waiting flow if there is room now, and returns it. Call it until it returns `None`, whenever flows may have
    /// been removed, here or by other workers.
    fn install_waiting(&mut self) -> Option<Flow>;

    /// Stops forwarding a flow. Returns what it has forwarded; `None` if it was not installed.
    fn remove(&mut self, key: &FlowKey) -> Option<Traffic>;

    /// Replaces the relay's addresses. Returns whether the caller must install all flows again.
    fn set_addresses(&mut self, addresses: &AddressState) -> bool;
}

impl<O: Offload + ?Sized> Offload for Box<O> {
    fn install(&mut self, flow: &Flow) -> bool {
        (**self).install(flow)
    }

    fn install_waiting(&mut self) -> Option<Flow> {
        (**self).install_waiting()
    }

    fn remove(&mut self, key: &FlowKey) -> Option<Traffic> {
        (**self).remove(key)
    }

    fn set_addresses(&mut self, addresses: &AddressState) -> bool {
        (**self).set_addresses(addresses)
    }
}

/// What a worker gives its flows to from now on.
pub(crate) struct NewOffload(pub(crate) Box<dyn Offload + Send>);

impl std::fmt::Debug for NewOffload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewOffload")
    }
}

/// Whether this build has the XDP data path; the error says why not.
pub(crate) fn xdp() -> Result<(), &'static str> {
    relay_ebpf::program().map(drop)
}

/// The counters of a data path since it was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OffloadCounters {
    /// How the program is attached, `driver` or `generic`; `None` if it is not.
    pub(crate) mode: Option<&'static str>,
    /// Bytes of application data that it has relayed, without ChannelData headers.
    pub(crate) relayed_bytes: u64,
    /// The number of packets for each verdict, such as `forwarded` or `passed`, and reason.
    pub(crate) packets: Vec<(&'static str, &'static str, u64)>,
    /// The number of flows that it forwards now.
    pub(crate) flows: u64,
    /// The number of flows that it has refused.
    pub(crate) refused_flows: u64,
    /// The number of flows that were not installed because their allocations had used up their shares.
    pub(crate) flows_over_share: u64,
}

impl OffloadCounters {
    /// The counters for people. `is_counted` says whether the data path counts what it relays.
    pub(crate) fn summary(&self, is_counted: bool) -> String {
        let Self { mode: _, relayed_bytes, packets, flows: _, refused_flows, flows_over_share } = self;
        let is_forwarded = |verdict: &str| verdict == "forwarded";
        let mut summary = if is_counted {
            let forwarded: u64 =
                packets.iter().filter(|(verdict, ..)| is_forwarded(verdict)).map(|(.., count)| count).sum();
            format!("{forwarded} packets ({relayed_bytes} bytes) relayed in the kernel")
        } else {
            "what was relayed in the kernel was not counted".to_owned()
        };
        for (verdict, reason, count) in packets {
            if *count > 0 && !is_forwarded(verdict) {
                summary += &format!(", {count} {verdict} ({reason})");
            }
        }
        for (count, why) in [(refused_flows, "not taken"), (flows_over_share, "beyond their allocations' shares")] {
            if *count > 0 {
                summary += &format!(", {count} flows {why}");
            }
        }
        summary
    }
}

/// Reads what a flow has forwarded so far; `None` if it is not installed.
pub(crate) type FlowMeter = Box<dyn Fn(&FlowKey) -> Option<Traffic> + Send>;

/// Reads a data path's counters. The operations thread does so at intervals.
pub(crate) trait OffloadStatistics: Send {
    /// The current counters.
    fn read(&mut self) -> OffloadCounters;
}

/// The absence of such a data path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NoOffload;

/// The statistics of the data path that there is, which may change.
pub(crate) type OffloadReader = Arc<Mutex<Box<dyn OffloadStatistics>>>;

impl Offload for NoOffload {
    fn install(&mut self, _: &Flow) -> bool {
        false
    }

    fn install_waiting(&mut self) -> Option<Flow> {
        None
    }

    fn remove(&mut self, _: &FlowKey) -> Option<Traffic> {
        None
    }

    fn set_addresses(&mut self, _: &AddressState) -> bool {
        false
    }
}

impl OffloadStatistics for NoOffload {
    fn read(&mut self) -> OffloadCounters {
        OffloadCounters::default()
    }
}
