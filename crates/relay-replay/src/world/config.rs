//! The kinds of relays that a world can have.

/// The kind of relay of a [`World`](crate::World).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorldConfig {
    /// Whether it relays Send and Data indications, as without a portal, or channels only.
    pub indications: bool,
    /// Whether it has an IPv4 address besides its IPv6 address.
    pub has_ipv4: bool,
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self { indications: false, has_ipv4: true }
    }
}
