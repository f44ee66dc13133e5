//! Accounting: what each allocation has relayed, written to the log and as a span when it ends, and what each user has relayed, on
//! request.
//!
//! Shards count by themselves and send events to the accounting thread when an allocation begins and ends. The kernel counts its
//! flows, and a shard counts what it sends straight to another shard's client. So an account is finished once these paths have
//! closed too, which happens as soon as the allocation ends.

#[cfg(test)]
mod books;
mod event;
mod keys;
mod ledger;
mod queue;
mod record;
mod snapshot;
mod top_users;
mod users;

use std::{
    fmt,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context as _;
use opentelemetry_sdk::trace::SdkTracer;
use relay_server::{RelayAddresses, ShardId, Timestamp};
use tokio::sync::oneshot;

#[cfg(test)]
pub(crate) use self::books::Books;
use self::{
    event::AccountingEvent,
    ledger::Ledger,
    queue::{Receiver, Sender},
    record::Record,
    users::{Totals, Users},
};
pub(crate) use self::{event::AccountingSender, snapshot::AccountingSnapshot};
use crate::{
    clock::Clock,
    faults::{Faults, Part},
    offload::FlowMeter,
    output::Stream,
    throttle::Throttle,
};

/// The most user ids with totals, not counting those of live allocations.
const ROOM: usize = 10_000;

/// How long to wait for the shards' counts so far.
const SHARDS_LIMIT: Duration = Duration::from_secs(1);

/// How long the last records may wait in all until the log has room.
const FINISH_LIMIT: Duration = Duration::from_secs(4);

/// How often to warn about allocations without an account.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// How often to check whether the log has room.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A handle on the accounting thread. Dropping it finishes all accounts and ends the thread.
pub(crate) struct Accounting {
    events: Sender,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Accounting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accounting")
    }
}

/// Asks the accounting thread for the users' totals.
#[derive(Clone, Debug)]
pub(crate) struct UserTotals(Sender);

impl UserTotals {
    /// The `count` users with the most bytes and what they have relayed, as JSON. `None` if the relay ends, or accounting is
    /// overloaded.
    pub(crate) async fn top(&self, count: usize) -> Option<String> {
        let (answer, answered) = oneshot::channel();
        let is_sent = self.0.has_room(0) && self.0.send(vec![AccountingEvent::TopUsers { count, answer }]);
        if is_sent { answered.await.ok() } else { None }
    }
}

impl Accounting {
    /// Starts the thread. Records go to the log, whose stream is `log`, and to `tracer`. `kernel` reads the counters of flows.
    ///
    /// With `inherited`, it goes on with the books of the process before this one, whose times are on `clock`.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub(crate) fn start(
        clock: Clock,
        addresses: RelayAddresses,
        log: Arc<Stream>,
        tracer: Option<SdkTracer>,
        kernel: Option<FlowMeter>,
        faults: Faults,
        inherited: Option<AccountingSnapshot>,
    ) -> anyhow::Result<Self> {
        let (events, received) = queue::queue();
        let mut accountant = Accountant::new(clock, addresses, log, tracer, kernel, faults, inherited);
        let thread = thread::Builder::new()
            .name("accounting".to_owned())
            .spawn(move || accountant.run(&received))
            .context("cannot start the thread for accounting")?;
        Ok(Self { events, thread: Some(thread) })
    }

    /// The sender for the events of `shard`.
    pub(crate) fn sender(&self, shard: ShardId) -> AccountingSender {
        AccountingSender::new(shard, self.events.clone())
    }

    /// The handle for the control endpoint.
    pub(crate) fn user_totals(&self) -> UserTotals {
        UserTotals(self.events.clone())
    }

    /// Sets how to ask the shards for their counts so far. `ask` returns how many shards it has asked.
    pub(crate) fn ask_shards_with(&self, ask: impl Fn() -> usize + Send + 'static) {
        let _ = self.events.send(vec![AccountingEvent::AskShards(Box::new(ask))]);
    }

    /// Sets how to read the counters of flows, for a data path that is attached later than [`Self::start`].
    pub(crate) fn count_with(&self, meter: FlowMeter) {
        let _ = self.events.send(vec![AccountingEvent::Kernel(meter)]);
    }

    /// Exports the books for the next process, after all events that were sent before.
    ///
    /// From then on no account is finished, so that the two processes do not finish the same one. If the handover fails, the shards go on
    /// here, and the first event about an allocation ends that state. If it succeeds, call [`Self::abandon`].
    ///
    /// # Errors
    ///
    /// When the accounting thread has panicked.
    pub(crate) async fn export(&self) -> anyhow::Result<AccountingSnapshot> {
        let (answer, answered) = oneshot::channel();
        self.events.send(vec![AccountingEvent::Export(answer)]);
        answered.await.context("the accounting thread has ended")
    }

    /// Ends the thread without finishing any account. Another process has the same books and finishes them: the next one after a handover,
    /// or the one before this one if the handover fails after this process has inherited its books.
    pub(crate) fn abandon(mut self) {
        self.end(AccountingEvent::Abandon);
    }

    fn end(&mut self, event: AccountingEvent) {
        let Some(thread) = self.thread.take() else { return };
        let _ = self.events.send(vec![event]);
        // The panic hook has logged a panic already.
        let _ = thread.join();
    }
}

impl Drop for Accounting {
    fn drop(&mut self) {
        self.end(AccountingEvent::Finish);
    }
}

struct Accountant {
    clock: Clock,
    addresses: RelayAddresses,
    log: Arc<Stream>,
    tracer: Option<SdkTracer>,
    /// Reads what the kernel has forwarded of a flow.
    kernel: Option<FlowMeter>,
    ledger: Ledger,
    users: Users,
    /// Whether another process may finish the accounts: they were exported, and no event about an allocation has come since.
    is_exported: bool,
    ask_shards: Box<dyn Fn() -> usize + Send>,
    /// Pending requests for totals: how many users each wants, and where to send the answer.
    asked: Vec<(usize, oneshot::Sender<String>)>,
    /// How many shards have yet to answer.
    missing: usize,
    answer_at: Option<Timestamp>,
    faults: Faults,
    /// How many allocations without an account were logged.
    left_out: u64,
    warnings: Throttle,
}

impl Accountant {
    fn new(
        clock: Clock,
        addresses: RelayAddresses,
        log: Arc<Stream>,
        tracer: Option<SdkTracer>,
        kernel: Option<FlowMeter>,
        faults: Faults,
        inherited: Option<AccountingSnapshot>,
    ) -> Self {
        let AccountingSnapshot { ledger, users: totals } = inherited.unwrap_or_default();
        let mut users = Users::new(ROOM);
        users.inherit(totals);
        Self {
            clock,
            addresses,
            log,
            tracer,
            kernel,
            ledger: Ledger::inherited(ledger),
            users,
            is_exported: false,
            ask_shards: Box::new(|| 0),
            asked: Vec::new(),
            missing: 0,
            answer_at: None,
            faults,
            left_out: 0,
            warnings: Throttle::new(WARN_EVERY),
        }
    }

    fn run(&mut self, queue: &Receiver) {
        'running: loop {
            let now = self.clock.now();
            let events = match self.poll_timeout() {
                None => queue.events.recv().ok(),
                Some(due) => {
                    let wait = Duration::from_nanos(due.as_nanos().saturating_sub(now.as_nanos()));
                    match queue.events.recv_timeout(wait) {
                        Ok(events) => Some(events),
                        Err(mpsc::RecvTimeoutError::Timeout) => {
                            self.do_what_is_due(self.clock.now());
                            continue;
                        }
                        Err(mpsc::RecvTimeoutError::Disconnected) => None,
                    }
                }
            };
            let Some(events) = events else { break };
            queue.note_taken(events.len());
            self.note_left_out(queue.left_out());
            for event in events {
                match event {
                    AccountingEvent::Finish => break 'running,
                    AccountingEvent::Abandon => return,
                    event => self.take(event),
                }
                self.tell_all();
            }
        }
        self.finish();
    }

    /// When something is due.
    fn poll_timeout(&self) -> Option<Timestamp> {
        let of_ledger = if self.is_exported { None } else { self.ledger.poll_timeout() };
        [of_ledger, self.answer_at].into_iter().flatten().min()
    }

    /// Sets the number of allocations without an account to `all`, and warns about new ones.
    fn note_left_out(&mut self, all: u64) {
        for _ in self.left_out..all {
            self.faults.note(Part::Accounting);
            if let Some(allocations) = self.warnings.pass(self.clock.now()) {
                tracing::warn!(
                    allocations,
                    "more allocations begin than accounting takes: some are in no account; relaying goes on"
                );
            }
        }
        self.left_out = all;
    }

    fn take(&mut self, event: AccountingEvent) {
        let now = self.clock.now();
        match event {
            AccountingEvent::SoFar { shard, allocations, crossings } => {
                self.ledger.so_far(shard, allocations, crossings);
                self.missing = self.missing.saturating_sub(1);
                if self.missing == 0 {
                    self.answer();
                }
            }
            AccountingEvent::Kernel(meter) => self.kernel = Some(meter),
            AccountingEvent::AskShards(ask) => self.ask_shards = ask,
            AccountingEvent::TopUsers { count, answer } => {
                self.asked.push((count, answer));
                if self.answer_at.is_none() {
                    self.missing = (self.ask_shards)();
                    self.answer_at = Some(now + SHARDS_LIMIT);
                }
                if self.missing == 0 {
                    self.answer();
                }
            }
            AccountingEvent::Export(answer) => {
                let snapshot = AccountingSnapshot { ledger: self.ledger.export(), users: self.users.export() };
                // If the receiver is gone, no other process has the books.
                self.is_exported = answer.send(snapshot).is_ok();
            }
            AccountingEvent::Abandon | AccountingEvent::Finish => {}
            event => {
                self.is_exported = false;
                self.ledger.note(now, event);
            }
        }
    }

    fn do_what_is_due(&mut self, now: Timestamp) {
        if !self.is_exported {
            self.ledger.handle_timeout(now);
            self.tell_all();
        }
        if self.answer_at.is_some_and(|due| due <= now) {
            // A stuck shard does not answer. Answer with the counts of the others.
            self.answer();
        }
    }

    fn tell_all(&mut self) {
        while let Some(record) = self.ledger.poll_record() {
            self.tell(&record);
        }
    }

    fn tell(&mut self, record: &Record) {
        let Record { in_user_space, in_kernel, .. } = *record;
        self.users.add(&record.user_id, Totals { allocations: 1, in_user_space, in_kernel });
        record.log(&self.addresses);
        if let Some(tracer) = &self.tracer {
            record.trace(tracer, &self.addresses, self.clock.now());
        }
    }

    /// Finishes all accounts. The log holds only so many lines at once, so its readers get some time.
    fn finish(&mut self) {
        let now = self.clock.now();
        self.ledger.finish(now);
        while let Some(record) = self.ledger.poll_record() {
            while self.log.is_half_full() && self.clock.now() < now + FINISH_LIMIT {
                thread::sleep(LOOK_EVERY);
            }
            self.tell(&record);
        }
    }

    fn answer(&mut self) {
        self.answer_at = None;
        self.missing = 0;
        if let Some(kernel) = &self.kernel {
            for key in self.ledger.flows() {
                if let Some(forwarded) = kernel(&key) {
                    self.ledger.flow_counted(&key, forwarded);
                }
            }
        }
        for (count, answer) in std::mem::take(&mut self.asked) {
            // The client may have closed the connection.
            let _ = answer.send(top_users::json(&self.users, &self.ledger, count));
        }
    }
}

#[cfg(test)]
mod tests;
