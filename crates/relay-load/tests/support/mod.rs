//! Programs that tests start, with their children.
#![allow(dead_code, reason = "each test file uses a part of this")]

use std::{
    fs,
    process::{Child, Command},
    thread,
    time::Duration,
};

/// How often to check for an expected event, and the time between checks.
pub(crate) const LOOKS: u32 = 300;
const PAUSE: Duration = Duration::from_millis(100);

/// A running program. It is killed on drop, with its children.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let started = children(self.0.id());
            let _ = self.0.kill();
            let _ = self.0.wait();
            for pid in started {
                signal(pid, "KILL");
            }
        }
    }
}

/// Waits before the next check. Returns false, for use in a loop's condition.
pub(crate) fn wait() -> bool {
    thread::sleep(PAUSE);
    false
}

/// Sends a signal, such as `TERM`, to process `pid`. Returns whether that succeeded.
pub(crate) fn signal(pid: u32, name: &str) -> bool {
    Command::new("kill").args(["-s", name, &pid.to_string()]).status().is_ok_and(|status| status.success())
}

/// The children of process `pid`.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    tasks.filter(|task| stat(*task).is_some_and(|(_, parent)| parent == pid)).collect()
}

/// Whether process `pid` has ended. It may be a zombie.
pub(crate) fn has_ended(pid: u32) -> bool {
    stat(pid).is_none_or(|(state, _)| state == "Z")
}

/// The state and the parent of process `pid`.
fn stat(pid: u32) -> Option<(String, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may contain spaces.
    let mut words = text.rsplit(')').next()?.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
}
