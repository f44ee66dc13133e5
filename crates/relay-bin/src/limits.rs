//! How many files the process may have open: every allocation needs one a family.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::config::Config;

/// Files that are no allocations: listening sockets, event queues, standard streams, and what comes later.
const OTHERS: u64 = 128;

/// Raises the limit on open files as far as it goes, and says so if that is not enough for every allocation port.
pub(crate) fn raise_open_files(config: &Config) {
    let limit = match raise() {
        Ok(limit) => limit,
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit on open files");
            return;
        }
    };
    let families = u64::try_from(config.families().count()).unwrap_or(u64::MAX);
    let ports = u64::from(config.ports.len());
    let wanted = ports * families + OTHERS;
    if limit < wanted {
        let allocations = limit.saturating_sub(OTHERS);
        tracing::warn!(
            limit,
            wanted,
            "the limit on open files allows about {allocations} allocations, not all that the ports would: raise it to {wanted} \
             (`ulimit -Hn`, LimitNOFILE= in systemd, --ulimit nofile= in Docker)"
        );
    }
}

fn raise() -> nix::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}
