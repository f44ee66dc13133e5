//! Runs plans on all processors, and reports progress and failures.

use std::{
    cell::RefCell,
    env,
    fmt::Write as _,
    io::Write as _,
    panic::{self, AssertUnwindSafe},
    sync::{Mutex, MutexGuard, Once, PoisonError},
    thread,
    time::Duration,
};

use super::{plan::Plan, shrink::shrink, world::World};
use crate::clock::Clock;

/// How often to report progress.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// The result of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Summary {
    pub(super) fingerprint: u64,
    pub(super) steps: u64,
    pub(super) turns: u64,
    /// The simulated time.
    pub(super) simulated: Duration,
    /// How many probes have come back.
    pub(super) returned: u64,
    /// How many of those were owed.
    pub(super) owed: u64,
}

/// A run that failed.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    /// The step at which it failed.
    pub(super) steps: u64,
    pub(super) message: String,
    /// The last events.
    pub(super) told: Vec<String>,
    pub(super) setting: String,
}

#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) result: Result<Summary, Box<Failed>>,
}

thread_local! {
    /// The message of the last panic on this thread, if panics are caught.
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
    static CATCHES: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Runs `plan`. Records the last events only if `tells`.
pub(super) fn run(plan: &Plan, tells: bool) -> Outcome {
    catch_panics();
    let mut world = World::new(*plan, tells);
    CATCHES.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(|| {
        while world.steps < plan.steps {
            world.step();
        }
        world.finish();
    }));
    CATCHES.set(false);
    let result = match result {
        Ok(()) => Ok(Summary {
            fingerprint: world.fingerprint,
            steps: world.steps,
            turns: world.turns,
            simulated: world.elapsed(),
            returned: world.probes.returned,
            owed: world.probes.owed,
        }),
        Err(_) => Err(Box::new(Failed {
            steps: world.steps,
            message: CAUGHT.take().unwrap_or_default(),
            told: world.told().cloned().collect(),
            setting: format!("{:?}", world.setting),
        })),
    };
    Outcome { result }
}

/// Installs a panic hook that keeps the message instead of printing it, on threads that ask for it.
fn catch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CATCHES.get() {
                CAUGHT.set(Some(info.to_string()));
            } else {
                print(info);
            }
        }));
    });
}

/// The progress over all runs.
#[derive(Debug, Default)]
struct Progress {
    done: u64,
    steps: u64,
    turns: u64,
    owed: u64,
    returned: u64,
    simulated: Duration,
    failed: Option<(Plan, Box<Failed>)>,
}

/// Runs all plans, on as many threads as there are processors.
///
/// # Panics
///
/// When a run fails: with the smallest plan that fails, and the command that repeats it.
pub(super) fn seeds(plans: impl Iterator<Item = Plan> + Send) {
    let clock = Clock::start();
    let (plans, progress) = (Mutex::new(plans), Mutex::new(Progress::default()));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(&plans, &progress))).collect();
        let mut told_at = clock.now();
        while !running.iter().all(thread::ScopedJoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(50));
            if clock.now().saturating_duration_since(told_at) >= TELL_EVERY {
                told_at = clock.now();
                tell(&lock(&progress), clock);
            }
        }
    });
    let progress = lock(&progress);
    tell(&progress, clock);
    if let Some((plan, failed)) = &progress.failed {
        panic!("{}", report(plan, failed));
    }
    // A simulation in which hardly any data passes would show nothing.
    assert!(progress.owed >= progress.steps / 100, "{progress:?}");
}

/// Runs plans until there are no more, or one has failed.
fn work(plans: &Mutex<impl Iterator<Item = Plan>>, progress: &Mutex<Progress>) {
    while lock(progress).failed.is_none() {
        let Some(plan) = lock(plans).next() else { break };
        let result = run(&plan, false).result;
        let mut progress = lock(progress);
        match result {
            Ok(summary) => {
                progress.done += 1;
                progress.steps += summary.steps;
                progress.turns += summary.turns;
                progress.owed += summary.owed;
                progress.returned += summary.returned;
                progress.simulated += summary.simulated;
            }
            Err(failed) => progress.failed = Some((plan, failed)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(progress: &Progress, clock: Clock) {
    let Progress { done, steps, turns, owed, returned, simulated, .. } = progress;
    let seconds = Duration::from_nanos(clock.now().as_nanos()).as_secs_f64();
    let hours = simulated.as_secs_f64() / 3_600.0;
    let rate = f64::from(u32::try_from(*done).unwrap_or(u32::MAX)) / seconds.max(0.001);
    let _ = writeln!(
        std::io::stderr(),
        "{done} seeds, {steps} steps, {turns} turns of workers, {hours:.0} hours simulated; {returned} probes came back, {owed} of \
         them had to; {seconds:.0} s, {rate:.1} seeds/s"
    );
}

/// The report of a failure.
fn report(plan: &Plan, failed: &Failed) -> String {
    let mut text =
        format!("seed {} fails at step {}:\n{}\n\nto repeat it: {plan}\n", plan.seed, failed.steps, failed.message);
    let (smallest, failed) = shrink(plan, failed);
    let _ = write!(
        text,
        "\nthe smallest that fails so: {smallest}\n{}\n{}\nwhat happened last:\n",
        failed.message, failed.setting
    );
    for line in &failed.told {
        let _ = writeln!(text, "  {line}");
    }
    text
}

/// The plans in the variables that `cargo xtask simulate` sets.
pub(super) fn plans_from_environment() -> impl Iterator<Item = Plan> {
    let number = |name: &str| {
        let text = env::var(format!("SIMULATE_{name}")).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|error| panic!("SIMULATE_{name}: {error}: {text}")))
    };
    let seeds = number("SEEDS").unwrap_or(1);
    let first = number("SEED").unwrap_or(0);
    let steps = number("STEPS").unwrap_or(Plan::STEPS);
    let clients = number("CLIENTS").map_or(Plan::CLIENTS, |clients| usize::try_from(clients).unwrap_or(1));
    let faults = env::var("SIMULATE_FAULTS").ok();
    let faults = faults.map_or(Ok(super::faults::Faults::ALL), |text| text.parse());
    let faults = faults.unwrap_or_else(|error| panic!("{error}"));
    (first..first.saturating_add(seeds)).map(move |seed| Plan { seed, steps, clients, faults })
}
