//! The order of rooms, from the top floor down. Those on one floor know nothing of one another.

/// The floors of a crate, if it has an order.
pub(super) fn of(name: &str) -> Option<&'static [&'static [&'static str]]> {
    match name {
        "relay-bin" => Some(RELAY_BIN),
        _ => None,
    }
}

/// Options become values that the rooms below define; figures are read by the rooms above those that publish them.
const RELAY_BIN: &[&[&str]] = &[
    // main.rs
    &[""],
    &["relay"],
    &["upgrade"],
    &["options"],
    &["doctor", "explain", "operations", "version"],
    &["logging"],
    &["handover"],
    &["telemetry"],
    &["portal", "shard"],
    &["accounting"],
    &["credentials", "files", "listen", "offload", "peers", "record"],
    &["addresses"],
    &["clock", "faults", "file_watch", "option_names", "output", "phase", "supervise", "text_file", "throttle"],
    &["names"],
];
