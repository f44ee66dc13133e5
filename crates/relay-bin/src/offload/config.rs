use super::addresses::LocalAddresses;

/// How to relay in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffloadConfig {
    pub(crate) xdp: relay_ebpf::Config,
    pub(crate) addresses: LocalAddresses,
    /// How many channels of one allocation are relayed there.
    pub(crate) channels_per_allocation: u32,
}
