//! Passes signals on to the relay, so that it ends in its own way and has the last word.

use std::thread;

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

/// From now on whatever asks us to end asks the process `id` instead.
pub(crate) fn forward(id: u32) -> Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).context("cannot listen to signals")?;
    thread::spawn(move || {
        for signal in signals.forever() {
            send(id, if signal == SIGINT { Signal::SIGINT } else { Signal::SIGTERM });
        }
    });
    Ok(())
}

/// Asks the process `id` to end at once: SIGTERM would let its allocations live on for a while.
pub(crate) fn interrupt(id: u32) {
    send(id, Signal::SIGINT);
}

fn send(id: u32, signal: Signal) {
    // 0 would be our own process group.
    if let Some(process) = i32::try_from(id).ok().filter(|process| *process > 0) {
        // Fails only if it has ended already.
        let _ = kill(Pid::from_raw(process), signal);
    }
}
