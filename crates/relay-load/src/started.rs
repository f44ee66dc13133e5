//! Programs that this one starts, and that end with it.

use std::{
    collections::BTreeSet,
    process::{Child, ChildStderr, Command, ExitStatus},
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

/// The processes that were started and not waited for, so that their ids are still valid.
static STARTED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// How often to check whether a program has ended.
const PAUSE: Duration = Duration::from_millis(1);

/// Makes a signal that ends this program end the programs that it has started first. Otherwise they would go on.
///
/// # Errors
///
/// When the system refuses a handler.
pub(crate) fn end_with_this_program() -> Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).context("cannot catch signals")?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // Held until the end, so that no program is started meanwhile.
            let started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
            started.iter().for_each(|id| send(*id, Signal::SIGKILL));
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// A program that is killed on drop.
#[derive(Debug)]
pub(crate) struct Started {
    child: Child,
    /// Whether it was waited for. Its id may belong to another process now.
    is_over: bool,
}

impl Started {
    /// Starts a program.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
        started.insert(child.id());
        Ok(Self { child, is_over: false })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Takes its standard error, if that is a pipe.
    pub(crate) const fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Its exit status, if it has ended.
    ///
    /// # Errors
    ///
    /// When the system call fails.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        // Held until the id is removed: another process may get it from then on.
        let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
        let status = self.child.try_wait().context("lost a program that was started")?;
        if status.is_some() {
            self.is_over = true;
            started.remove(&self.child.id());
        }
        Ok(status)
    }

    /// Sends `signal` to it.
    pub(crate) fn signal(&self, signal: Signal) {
        if !self.is_over {
            send(self.child.id(), signal);
        }
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    ///
    /// When the system call fails.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            thread::sleep(PAUSE);
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if !self.is_over {
            self.signal(Signal::SIGKILL);
            let _ = self.wait();
        }
    }
}

fn send(id: u32, signal: Signal) {
    // 0 would address this program's own process group.
    if let Some(process) = i32::try_from(id).ok().filter(|process| *process > 0) {
        // This fails only if the process has ended already.
        let _ = kill(Pid::from_raw(process), signal);
    }
}
