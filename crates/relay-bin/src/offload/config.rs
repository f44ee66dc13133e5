use relay_ebpf::AttachMode;

use super::addresses::LocalAddresses;

/// How to relay in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffloadConfig {
    pub(crate) xdp: relay_ebpf::Config,
    pub(crate) addresses: LocalAddresses,
    pub(crate) choice: Choice,
    /// How many channels and peers of indications of one allocation are relayed there.
    pub(crate) channels_per_allocation: u32,
}

/// Who says at which interfaces the program is attached, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The operator: the relay does so or does not start.
    Given,
    /// The relay, which finds the interfaces and tries these modes in turn. If none goes, it relays in user space.
    Auto {
        /// The modes, the best first.
        modes: Vec<AttachMode>,
    },
}
