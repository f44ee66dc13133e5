/// What kind of relay a [`World`](crate::World) has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorldConfig {
    /// Whether it relays Send and Data indications, as a relay without a portal does, or channels only.
    pub indications: bool,
    /// Whether it has an IPv4 address besides its IPv6 address.
    pub has_ipv4: bool,
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self { indications: false, has_ipv4: true }
    }
}
