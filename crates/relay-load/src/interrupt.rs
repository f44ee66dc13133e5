//! Handles signals that end this program.

use std::{
    io,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

static REQUESTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Makes the first SIGINT or SIGTERM only set [`requested`], so that the program can close what is open. The second one ends the
/// process at once.
///
/// # Errors
///
/// When the system refuses a handler.
pub(crate) fn listen() -> io::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        // Registered first, so that it sees a flag only from an earlier signal. Shells expect this status.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&REQUESTED))?;
        flag::register(signal, Arc::clone(&REQUESTED))?;
    }
    Ok(())
}

/// Whether such a signal has come since [`listen`].
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}
