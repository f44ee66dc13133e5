//! Reads the relay's log, unless it is to be blocked.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader},
    process::ChildStderr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// How many of the last lines are kept.
const KEPT: usize = 40;

#[derive(Clone, Default)]
pub(super) struct Log(Arc<Shared>);

#[derive(Default)]
struct Shared {
    is_blocked: AtomicBool,
    lines: AtomicU64,
    last: Mutex<VecDeque<String>>,
}

impl Log {
    /// Reads the log until it ends.
    pub(super) fn read(stderr: ChildStderr) -> Self {
        let log = Self::default();
        let reader = log.clone();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                while reader.0.is_blocked.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(10));
                }
                reader.0.lines.fetch_add(1, Ordering::Relaxed);
                // There is one of these for each client.
                if line.contains("allocation ended") {
                    continue;
                }
                let mut last = reader.0.last.lock().unwrap_or_else(PoisonError::into_inner);
                last.push_back(line);
                if last.len() > KEPT {
                    last.pop_front();
                }
            }
        });
        log
    }

    /// Stops reading, or goes on.
    pub(super) fn block(&self, is_blocked: bool) {
        self.0.is_blocked.store(is_blocked, Ordering::Relaxed);
    }

    /// The number of lines so far.
    pub(super) fn lines(&self) -> u64 {
        self.0.lines.load(Ordering::Relaxed)
    }

    /// Prints the last lines.
    pub(super) fn print_last(&self) {
        let last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        eprintln!("the last lines of the relay's log:");
        last.iter().for_each(|line| eprintln!("  {line}"));
    }
}
