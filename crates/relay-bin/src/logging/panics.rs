//! Panics in the log. By default they go to stderr at once, and whoever panics waits there.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic::{self, PanicHookInfo},
    sync::Arc,
    thread,
};

use tracing::Level;

use crate::output::Stream;

/// Logs panics from now on, or says them on `stderr` where the log is off: they are bugs, and there is no other trace of them.
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
    // If RUST_BACKTRACE asks for it.
    let backtrace = Backtrace::capture();
    let backtrace = match backtrace.status() {
        BacktraceStatus::Captured => format!("\n{backtrace}"),
        _ => String::new(),
    };
    format!("the thread {name} {panic}{backtrace}")
}
