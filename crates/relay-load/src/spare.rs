//! What a machine's CPUs have left, which tells what all else took of them.
//!
//! The kernel forwards packets in interrupts, which the clock tick of most kernels (those without `CONFIG_IRQ_TIME_ACCOUNTING`) catches by chance
//! or bills to whoever was interrupted. So the CPUs are filled up instead, with threads that run only when nobody else wants to (`SCHED_IDLE`)
//! and count how far they get: what they miss is what everything else took, interrupts included. It also keeps CPUs from going to sleep, which
//! would add the price of waking up where there is little to do.

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

/// How many additions are counted as one turn: some tenths of a microsecond.
const ADDITIONS: u64 = 500;

/// The CPUs that the calling thread may run on.
///
/// # Errors
///
/// When the system does not tell.
pub(crate) fn own_cpus() -> Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0)).context("cannot tell which CPUs there are")?;
    Ok((0..CpuSet::count()).filter(|cpu| set.is_set(*cpu) == Ok(true)).collect())
}

/// Lets the calling thread, and what it starts from now on, run on these CPUs alone.
///
/// # Errors
///
/// When one of them is not there.
pub(crate) fn pin(cpus: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    cpus.iter().try_for_each(|cpu| set.set(*cpu)).context("there is no such CPU")?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("cannot run on CPU {cpus:?}"))
}

/// A counter in cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Counter(AtomicU64);

/// Threads that use up what is left of some CPUs.
pub(crate) struct Spare {
    counters: Vec<Arc<Counter>>,
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// How far the threads had got at a time.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    counts: Vec<u64>,
    at: Duration,
}

impl Spare {
    /// Starts them, one on each of these CPUs.
    ///
    /// # Errors
    ///
    /// When `chrt` of util-linux is missing, or a CPU is.
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

/// How far all get in a second in which nothing else is done: those threads, and one more on a CPU of its own, which never sleeps and counts its
/// idle turns by itself.
#[derive(Clone, Debug)]
pub(crate) struct Idle {
    per_second: Vec<f64>,
    turns_per_second: f64,
}

impl Idle {
    /// From what was read before and after such a time, in which that thread had so many `turns`.
    pub(crate) fn new(before: &Reading, after: &Reading, turns: u64) -> Self {
        let seconds = after.at.saturating_sub(before.at).as_secs_f64().max(1e-9);
        let per_second: Vec<f64> = differences(before, after).map(|count| count / seconds).collect();
        Self { per_second, turns_per_second: turns as f64 / seconds }
    }

    /// The CPU time, in seconds, that everything else took between two readings.
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
