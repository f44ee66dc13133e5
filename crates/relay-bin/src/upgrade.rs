//! The command `firezone-relay upgrade`: asks a running relay to hand over, and waits until it has, or has not.

use std::{thread, time::Duration};

use anyhow::{Context as _, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::supervise;

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How often to look for the process that the relay starts: for 5 seconds.
const START_LOOKS: u32 = 250;

/// How often to look whether it has taken over: for two minutes, which is more than the relay waits for it.
const LOOKS: u32 = 6_000;

/// Has the relay whose first process is `process` hand over to a new process, and waits for that. Returns the new process.
///
/// # Errors
///
/// When it does not hand over; then it serves on.
pub(crate) fn upgrade(process: i32) -> anyhow::Result<Pid> {
    let first = Pid::from_raw(process);
    let old = relaying(first);
    kill(first, Signal::SIGHUP).with_context(|| {
        format!(
            "cannot send SIGHUP to process {first}: give the process that was started as firezone-relay, and run this as its user or as root"
        )
    })?;
    let mut new = None;
    for look in 0..LOOKS {
        if !supervise::is_there(first) {
            bail!("process {first} has ended: see the relay's log");
        }
        let relaying = relaying(first);
        // A process that only waits does not relay.
        if relaying != old && relaying != first && has_let_go(old) {
            return Ok(relaying);
        }
        match new {
            // The old process may end between these looks, and may not have waited for a process that failed before.
            None => {
                let children = supervise::children_of(old).unwrap_or_default();
                new = children.into_iter().find(|child| supervise::is_there(*child));
            }
            Some(new) if !supervise::is_there(new) && !has_let_go(old) => bail!(
                "the new process {new} has not taken over, and the old process serves on: the relay's log says why (`journalctl`, `docker logs`)"
            ),
            Some(_) => {}
        }
        if new.is_none() && look > START_LOOKS {
            bail!(
                "process {old} has started no new process within 5 seconds, and serves on if it is a relay: its log says why"
            );
        }
        thread::sleep(LOOK_EVERY);
    }
    bail!("the new process has not taken over within two minutes: see the relay's log");
}

/// Whether the process serves no longer, since another one has taken over.
fn has_let_go(process: Pid) -> bool {
    !supervise::is_there(process) || supervise::is_supervisor(process)
}

/// The process that relays: the first one, or its child once it has handed over.
fn relaying(first: Pid) -> Pid {
    if !supervise::is_supervisor(first) {
        return first;
    }
    let children = supervise::children_of(first).unwrap_or_default();
    children.last().copied().unwrap_or(first)
}
