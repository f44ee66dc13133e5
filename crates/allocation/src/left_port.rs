use crate::AllocationPort;

/// A port of another shard that this shard no longer needs. The caller tells the other shard, which takes it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftPort {
    /// The port.
    pub port: AllocationPort,
    /// Whether another program holds it.
    pub is_held: bool,
}
