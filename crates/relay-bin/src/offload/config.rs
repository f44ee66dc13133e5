use super::addresses::LocalAddresses;

/// How to relay in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffloadConfig {
    pub(crate) xdp: relay_ebpf::Config,
    pub(crate) addresses: LocalAddresses,
}
