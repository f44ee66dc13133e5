//! Whether somebody wants this program to end.

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

/// From now on the first SIGINT or SIGTERM only makes [`requested`] true, so that what is open can be closed. The second ends the
/// process at once.
///
/// # Errors
///
/// When the system does not let signals be caught.
pub(crate) fn listen() -> io::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        // Registered first, it sees what the signals before have set; shells expect this status.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&REQUESTED))?;
        flag::register(signal, Arc::clone(&REQUESTED))?;
    }
    Ok(())
}

/// Whether such a signal has come since [`listen`].
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}
