//! The checked configuration of the XDP data path.

use relay_ebpf::AttachMode;

use super::addresses::LocalAddresses;

/// How to relay in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffloadConfig {
    pub(crate) xdp: relay_ebpf::Config,
    pub(crate) addresses: LocalAddresses,
    pub(crate) choice: Choice,
    /// How many channels and indication peers of one allocation the kernel relays.
    pub(crate) channels_per_allocation: u32,
}

impl OffloadConfig {
    /// The most peers of indications for which the flow table has room: each takes two flows.
    pub(crate) const fn peers(&self) -> u32 {
        self.xdp.max_flows / 2
    }
}

/// Who chooses the interfaces and the mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The operator. The relay uses these or does not start.
    Given,
    /// The relay. It finds the interfaces and tries the driver, then the network stack. If neither works, it relays in user space.
    Auto {
        /// The only mode to try.
        mode: Option<AttachMode>,
    },
}
