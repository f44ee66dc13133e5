//! The version of this build.

use std::sync::LazyLock;

use crate::offload;

static TEXT: LazyLock<String> = LazyLock::new(|| {
    let (version, revision) = (env!("CARGO_PKG_VERSION"), env!("RELAY_REVISION"));
    match offload::xdp() {
        Ok(()) => format!("{version} (revision {revision}, with XDP)"),
        Err(reason) => format!("{version} (revision {revision}, without XDP: {reason})"),
    }
});

/// The release, the source revision, and whether XDP is built in; if not, why.
pub(crate) fn text() -> &'static str {
    &TEXT
}
