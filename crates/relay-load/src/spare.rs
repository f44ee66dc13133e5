//! Measures the CPU time of everything else by the time that is left.
//!
//! The kernel forwards packets in interrupts. Most kernels (those without `CONFIG_IRQ_TIME_ACCOUNTING`) count their time only by
//! sampling, or bill it to the interrupted process. So threads with the lowest priority (`SCHED_IDLE`) use up the idle time of all
//! CPUs and count their turns. The missing turns are the time of everything else, interrupts included. It also keeps CPUs awake:
//! otherwise, the cost of wake-ups would be included at low load.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::{Pid, gettid},
};

use crate::{clock, netns};

/// The additions in one turn, some tenths of a microsecond.
const ADDITIONS: u64 = 500;

/// The CPUs on which the calling thread may run.
///
/// # Errors
///
/// When the system call fails.
pub(crate) fn own_cpus() -> Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0)).context("cannot tell which CPUs there are")?;
    Ok((0..CpuSet::count()).filter(|cpu| set.is_set(*cpu) == Ok(true)).collect())
}

/// Restricts the calling thread, and its future children, to these CPUs.
///
/// # Errors
///
/// When one of the CPUs does not exist.
pub(crate) fn pin(cpus: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    cpus.iter().try_for_each(|cpu| set.set(*cpu)).context("there is no such CPU")?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("cannot run on CPU {cpus:?}"))
}

/// A counter in its own cache lines.
#[derive(Default)]
#[repr(align(128))]
struct Counter(AtomicU64);

/// Threads that use up the idle time of some CPUs.
pub(crate) struct Spare {
    counters: Vec<Arc<Counter>>,
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// The counters of all threads at one time.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    counts: Vec<u64>,
    at: Duration,
}

impl Spare {
    /// Starts a thread on each of these CPUs.
    ///
    /// # Errors
    ///
    /// When `chrt` of util-linux or a CPU is missing.
    pub(crate) fn start(cpus: &[usize]) -> Result<Self> {
        let mut spare = Self { counters: Vec::new(), ended: Arc::default(), threads: Vec::new() };
        for cpu in cpus.iter().copied() {
            let (counter, ended) = (Arc::<Counter>::default(), Arc::clone(&spare.ended));
            let counts = Arc::clone(&counter);
            let (report, started) = mpsc::channel();
            let spin = move || {
                let is_pinned = pin(&[cpu]).map(|()| gettid());
                let may_run = is_pinned.is_ok();
                if report.send(is_pinned).is_ok() && may_run {
                    use_up(&counts, &ended);
                }
            };
            spare.threads.push(thread::Builder::new().name("spare".to_owned()).spawn(spin)?);
            spare.counters.push(counter);
            let thread = started.recv().context("a thread has ended")??;
            netns::run("chrt", &format!("--idle --pid 0 {thread}"))?;
        }
        Ok(spare)
    }

    pub(crate) fn read(&self) -> Reading {
        let counts = self.counters.iter().map(|counter| counter.0.load(Ordering::Relaxed)).collect();
        Reading { counts, at: clock::now() }
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| _ = thread.join());
    }
}

fn use_up(counter: &Counter, ended: &AtomicBool) {
    while !ended.load(Ordering::Relaxed) {
        (0..ADDITIONS).for_each(|number| _ = black_box(number));
        counter.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The turns per second on an idle machine: of the threads, and of one more thread on its own CPU, which never sleeps and counts
/// its idle turns itself.
#[derive(Clone, Debug)]
pub(crate) struct Idle {
    per_second: Vec<f64>,
    turns_per_second: f64,
}

impl Idle {
    /// Computes the rates from readings before and after an idle time, in which the additional thread had `turns`.
    pub(crate) fn new(before: &Reading, after: &Reading, turns: u64) -> Self {
        let seconds = after.at.saturating_sub(before.at).as_secs_f64().max(1e-9);
        let per_second: Vec<f64> = differences(before, after).map(|count| count / seconds).collect();
        Self { per_second, turns_per_second: turns as f64 / seconds }
    }

    /// The CPU time in seconds that everything else took between two readings, in which the additional thread had `turns`.
    pub(crate) fn used(&self, before: &Reading, after: &Reading, turns: u64) -> f64 {
        let seconds = after.at.saturating_sub(before.at).as_secs_f64();
        let unused: f64 = differences(before, after).zip(&self.per_second).map(|(count, rate)| count / rate).sum();
        let cpus = self.per_second.len() + 1;
        cpus as f64 * seconds - unused - turns as f64 / self.turns_per_second
    }
}

fn differences(before: &Reading, after: &Reading) -> impl Iterator<Item = f64> {
    before.counts.iter().zip(&after.counts).map(|(before, after)| after.saturating_sub(*before) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(counts: &[u64], seconds: u64) -> Reading {
        Reading { counts: counts.to_vec(), at: Duration::from_secs(seconds) }
    }

    #[test]
    fn what_is_missing_was_used() {
        let idle = Idle::new(&reading(&[0, 100], 10), &reading(&[1000, 2100], 20), 5000);
        let used = |counts: &[u64], turns| idle.used(&reading(&[0, 0], 0), &reading(counts, 10), turns);
        assert!(used(&[1000, 2000], 5000).abs() < 1e-9);
        assert!((used(&[500, 2000], 5000) - 5.0).abs() < 1e-9);
        assert!((used(&[0, 1000], 4000) - 17.0).abs() < 1e-9);
    }
}
