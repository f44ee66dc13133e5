//! What a machine is looked at for.

use std::num::NonZeroUsize;

use relay_server::PortRange;

/// What the relay is going to need.
#[derive(Clone, Debug)]
pub(crate) struct Needs {
    /// The port that clients send to.
    pub(crate) listen_port: u16,
    /// The allocation ports.
    pub(crate) ports: PortRange,
    /// How many address families the relay serves.
    pub(crate) families: usize,
    pub(crate) workers: NonZeroUsize,
    /// What is asked for in the kernel, if anything.
    pub(crate) kernel_path: Option<KernelPath>,
    /// Why this build cannot offer the kernel path, if it cannot.
    pub(crate) no_program: Option<String>,
}

/// What is asked for in the kernel.
#[derive(Clone, Debug)]
pub(crate) struct KernelPath {
    pub(crate) interfaces: Vec<String>,
    /// Whether the program runs in the network driver.
    pub(crate) in_driver: bool,
    /// Whether it asks the host's routing table.
    pub(crate) by_routing_table: bool,
}
