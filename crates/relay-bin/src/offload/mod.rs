//! Data paths ahead of the sockets, such as XDP.

mod addresses;
mod auto;
mod config;
mod events;
mod next_hops;
mod shares;
mod table;
mod waiting;
mod worker;
mod xdp;

use relay_server::{Flow, FlowKey, Traffic};

use crate::addresses::AddressState;

#[cfg(test)]
pub(crate) use self::worker::{FlowTable, Inserted, Worker};
pub(crate) use self::{
    addresses::LocalAddresses,
    auto::start,
    config::{Choice, OffloadConfig},
    xdp::Xdp,
};

/// A data path that forwards flows before they reach this process. It owes nothing: a flow that it does not take, or loses,
/// is relayed through the sockets.
pub(crate) trait Offload {
    /// Forward `flow`, of a key that has none, from now on. Whether it does. One that is refused for lack of room waits for it.
    fn install(&mut self, flow: &Flow) -> bool;

    /// Forward one of the flows that were refused for lack of room, if there is some now: which one. To be called until there is
    /// none, after whatever may have made room, here or elsewhere.
    fn install_waiting(&mut self) -> Option<Flow>;

    /// Do not forward it any more. Returns what was forwarded of it; `None` if it was not there.
    fn remove(&mut self, key: &FlowKey) -> Option<Traffic>;

    /// The relay's addresses are these from now on. Whether flows that are there have to be installed anew for that.
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

/// Whether this build has the XDP data path; if not, why.
pub(crate) fn xdp() -> Result<(), &'static str> {
    relay_ebpf::program().map(drop)
}

/// What a data path has done since it was loaded, cumulative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OffloadCounters {
    /// How the program is attached, `driver` or `generic`; `None` if it is not.
    pub(crate) mode: Option<&'static str>,
    /// Bytes of application data that it relayed; ChannelData headers do not count.
    pub(crate) relayed_bytes: u64,
    /// How many packets met which fate: a verdict such as `forwarded` or `passed`, and why.
    pub(crate) packets: Vec<(&'static str, &'static str, u64)>,
    /// How many flows it has now.
    pub(crate) flows: u64,
    /// How many flows it did not take.
    pub(crate) refused_flows: u64,
    /// How many flows it was not offered, since their allocations had their shares.
    pub(crate) flows_over_share: u64,
}

/// Tells what was forwarded of a flow so far, if it is there.
pub(crate) type FlowMeter = Box<dyn Fn(&FlowKey) -> Option<Traffic> + Send>;

/// Tells what a data path has done. Read now and then, by the thread that answers for metrics.
pub(crate) trait OffloadStatistics: Send {
    /// The counters now.
    fn read(&mut self) -> OffloadCounters;
}

/// No such data path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NoOffload;

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
