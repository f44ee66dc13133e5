//! Writes panics to the log. The standard hook writes to stderr directly, which can block the thread.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic::{self, PanicHookInfo},
    sync::Arc,
    thread,
};

use tracing::Level;

use crate::output::Stream;

/// Logs panics from now on, or writes them to `stderr` if the log is off: they are bugs, and leave no other trace.
pub(super) fn log(stderr: Arc<Stream>) {
    panic::set_hook(Box::new(move |panic| {
        let text = describe(panic);
        if tracing::enabled!(Level::ERROR) {
            tracing::error!("{text}");
        } else {
            stderr.say(format!("{text}\n"));
        }
    }));
}

fn describe(panic: &PanicHookInfo<'_>) -> String {
    let thread = thread::current();
    let name = thread.name().unwrap_or("without a name");
    // Empty unless RUST_BACKTRACE is set.
    let backtrace = Backtrace::capture();
    let backtrace = match backtrace.status() {
        BacktraceStatus::Captured => format!("\n{backtrace}"),
        _ => String::new(),
    };
    format!("the thread {name} {panic}{backtrace}")
}
