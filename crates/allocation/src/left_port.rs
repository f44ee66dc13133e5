use crate::AllocationPort;

/// A port of another shard that has no use here any more: that shard is to hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftPort {
    /// The port.
    pub port: AllocationPort,
    /// Whether another program holds it.
    pub is_held: bool,
}
