//! The requirements that the machine is checked against.

use std::num::NonZeroUsize;

use relay_server::PortRange;

/// What the relay will need.
#[derive(Clone, Debug)]
pub(crate) struct Needs {
    /// The port that clients send to.
    pub(crate) listen_port: u16,
    /// The allocation ports.
    pub(crate) ports: PortRange,
    /// The number of address families that the relay serves.
    pub(crate) families: usize,
    pub(crate) workers: NonZeroUsize,
    /// The kernel path, if the operator has named interfaces.
    pub(crate) kernel_path: Option<KernelPath>,
    /// Why the relay does not try to use the kernel path, if it does not.
    pub(crate) user_space_only: Option<&'static str>,
    /// Why this build has no kernel path, if it has none.
    pub(crate) no_program: Option<String>,
}

/// How packets are to be relayed in the kernel.
#[derive(Clone, Debug)]
pub(crate) struct KernelPath {
    pub(crate) interfaces: Vec<String>,
    /// Whether the program runs in the network driver.
    pub(crate) in_driver: bool,
    /// Whether it looks up routes in the host's routing table.
    pub(crate) by_routing_table: bool,
}
