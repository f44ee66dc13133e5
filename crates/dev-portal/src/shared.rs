use std::sync::atomic::{AtomicU64, Ordering};

use crate::registry::Registry;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) token: String,
    pub(crate) registry: Registry,
    connections: AtomicU64,
}

impl Shared {
    pub(crate) fn new(token: String) -> Self {
        Self { token, registry: Registry::default(), connections: AtomicU64::new(0) }
    }

    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }
}
