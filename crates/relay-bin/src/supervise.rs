//! The process that was started stays, so that a service manager, a container or a terminal has one process to watch, whatever takes over.
//!
//! After a handover, the old process replaces itself by this: it holds nothing, passes signals on, and ends as the last process that took
//! over does. Those in between just end: the kernel makes this one the parent of their children.

use std::{
    collections::BTreeSet,
    env, fs, io,
    os::unix::process::CommandExt as _,
    process::{self, Command, ExitCode},
};

use anyhow::Context as _;
use nix::{
    errno::Errno,
    sys::{
        prctl,
        signal::{SigSet, Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, getppid},
};

/// The environment variable that says which process waits for this one.
const SUPERVISOR: &str = "FIREZONE_RELAY_SUPERVISOR";

/// The name of the subcommand.
const COMMAND: &str = "supervise";

/// What is passed on.
const PASSED_ON: [Signal; 7] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGCONT,
];

/// Tells the process that `command` starts which process waits for it.
pub(crate) fn tell(command: &mut Command) {
    let supervisor = supervisor().unwrap_or_else(Pid::this);
    command.env(SUPERVISOR, supervisor.to_string());
}

/// The process that waits for this one, if it is its parent still.
fn supervisor() -> Option<Pid> {
    let given = env::var(SUPERVISOR).ok()?.parse().ok().map(Pid::from_raw)?;
    (given == getppid()).then_some(given)
}

/// Lets go of everything after a handover: ends if another process waits for this one's children, else becomes that process.
///
/// Returns only what went wrong.
pub(crate) fn let_go() -> anyhow::Error {
    if supervisor().is_some() {
        process::exit(0);
    }
    match become_supervisor() {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

/// Sends a signal, which came too late for this process, to the one that has taken over. If another process waits for this one, it does so.
pub(crate) fn pass_on(process: Pid, signal: Signal) {
    if supervisor().is_none() {
        // It may have ended by now.
        let _ = kill(process, signal);
    }
}

/// Has a process that has taken over hand over in its turn. The process that waits sends SIGHUP to its children only.
pub(crate) fn hang_up(process: Pid) {
    let _ = kill(process, Signal::SIGHUP);
}

enum Never {}

fn become_supervisor() -> anyhow::Result<Never> {
    // Children of processes that took over and handed over in their turn.
    prctl::set_child_subreaper(true).context("cannot become the parent of orphans")?;
    // Signals wait until they can be passed on.
    signals().thread_block().context("cannot block signals")?;
    let error = Command::new("/proc/self/exe").arg0("firezone-relay").arg(COMMAND).exec();
    Err(error).context("cannot execute /proc/self/exe")
}

fn signals() -> SigSet {
    PASSED_ON.into_iter().chain([Signal::SIGCHLD]).collect()
}

/// Passes signals on to the children, and waits for the last of them to end, whose exit code this is.
pub(crate) fn run() -> ExitCode {
    let signals = signals();
    // So they are when this comes from a handover.
    let _ = signals.thread_block();
    let mut code = ExitCode::SUCCESS;
    loop {
        // What has ended before this began is seen here, and what ends later in the next round.
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, status)) => code = ExitCode::from(u8::try_from(status).unwrap_or(1)),
                Ok(WaitStatus::Signaled(_, signal, _)) => {
                    code = ExitCode::from(128_u8.saturating_add(u8::try_from(signal as i32).unwrap_or(0)));
                }
                Ok(WaitStatus::StillAlive) => break,
                Ok(_) | Err(Errno::EINTR) => {}
                // No child is left.
                Err(_) => return code,
            }
        }
        if let Ok(signal) = signals.wait()
            && signal != Signal::SIGCHLD
        {
            pass_on_to_all(signal);
        }
    }
}

/// Sends a signal to the child, and to the child of a child that hands over at this moment and does not take it.
fn pass_on_to_all(signal: Signal) {
    let mut had_it = BTreeSet::new();
    loop {
        let mut processes = children_of(Pid::this()).unwrap_or_default();
        // A second handover is of no use.
        if signal != Signal::SIGHUP {
            let next: Vec<_> = processes.iter().flat_map(|child| children_of(*child).unwrap_or_default()).collect();
            processes.extend(next);
        }
        processes.retain(|process| had_it.insert(*process));
        if processes.is_empty() {
            return;
        }
        for process in processes {
            // It may have ended by now. Then its children are this process's, and get the signal in the next round.
            let _ = kill(process, signal);
        }
        if signal == Signal::SIGHUP {
            return;
        }
    }
}

/// The child processes of `process`.
///
/// # Errors
///
/// When the system does not say.
pub(crate) fn children_of(process: Pid) -> io::Result<Vec<Pid>> {
    let mut children = Vec::new();
    // Not every kernel lists the children of a process.
    for entry in fs::read_dir("/proc")? {
        let Some(other) = entry?.file_name().to_str().and_then(|name| name.parse().ok()).map(Pid::from_raw) else {
            continue;
        };
        if status_of(other, "PPid:").and_then(|parent| parent.parse().ok()) == Some(process.as_raw()) {
            children.push(other);
        }
    }
    children.sort_unstable();
    Ok(children)
}

/// Whether the process runs. One that has ended and that nobody has waited for does not.
pub(crate) fn is_there(process: Pid) -> bool {
    status_of(process, "State:").is_some_and(|state| !state.starts_with(['Z', 'X']))
}

/// A line of what the system says of a process, without its name; `None` if there is no such process, or it is not to be seen.
fn status_of(process: Pid, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
}

/// Whether `process` waits for those that a relay has handed over to.
pub(crate) fn is_supervisor(process: Pid) -> bool {
    let command = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    command.split(|byte| *byte == 0).nth(1) == Some(COMMAND.as_bytes())
}
