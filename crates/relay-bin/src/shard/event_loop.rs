//! The event loop of one shard: waits for sockets, mail and deadlines, and handles them.

mod standstill;

use std::{collections::VecDeque, time::Duration};

use anyhow::Context as _;
use relay_server::Timestamp;
use tokio::sync::oneshot;

use super::{
    driver::Driver,
    handover::HandoverStep,
    inbound::{Inbound, Receipt},
    ingress::ReceiveBuffers,
    mailbox::{Mail, Mailbox},
    memory,
    poller::{Poller, Source},
    pulse::Pulse,
    restart::{Blueprint, Known},
    sockets::Sockets,
};
use crate::{
    clock::{Clock, TimeSource},
    offload::{NewOffload, Offload},
    throttle::Throttle,
};

/// How often to read the wall clock, which people and NTP may set.
const WALL_CLOCK_EVERY: Duration = Duration::from_secs(10);

/// How old published counters may be. Publishing costs as much as relaying a few packets.
const PUBLISH_WITHIN: Duration = Duration::from_millis(10);

/// How long not to read a listening socket that only returns errors.
const PAUSE: Duration = Duration::from_millis(100);

/// How often to warn about such a socket.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// The event loop. A turn reads each ready socket, does what is due, then waits.
pub(super) struct EventLoop<S = Sockets, C = Clock> {
    driver: Driver<Box<dyn Offload + Send>>,
    sockets: S,
    poller: Poller,
    mailbox: Mailbox,
    buffers: ReceiveBuffers,
    clock: C,
    /// When this turn began, or its last batch. Reading the clock takes longer than most uses of it.
    now: Timestamp,
    pulse: Pulse,
    /// Sockets that may have something to read, in the order of their turns.
    ready: VecDeque<Source>,
    /// Sockets with errors in their error queues. Empty between turns.
    in_error: Vec<Source>,
    is_told_to_stop: bool,
    /// Who waits for it to stand still.
    pausing: Option<oneshot::Sender<()>>,
    /// Whether its allocations live on elsewhere.
    has_left: bool,
    /// When to do each periodic task.
    wall_clock_at: Timestamp,
    beat_at: Timestamp,
    publish_at: Option<Timestamp>,
    resume_at: Option<Timestamp>,
    cannot_receive: Throttle,
    /// What the next state machine must know after a panic.
    known: Known,
}

impl<S: Inbound, C: TimeSource> EventLoop<S, C> {
    pub(super) fn new(
        driver: Driver<Box<dyn Offload + Send>>,
        sockets: S,
        poller: Poller,
        mailbox: Mailbox,
        clock: C,
        pulse: Pulse,
    ) -> Self {
        let now = clock.now();
        Self {
            driver,
            sockets,
            poller,
            mailbox,
            buffers: ReceiveBuffers::new(),
            clock,
            now,
            pulse,
            ready: VecDeque::new(),
            in_error: Vec::new(),
            is_told_to_stop: false,
            pausing: None,
            has_left: false,
            wall_clock_at: now + WALL_CLOCK_EVERY,
            beat_at: now,
            publish_at: None,
            resume_at: None,
            cannot_receive: Throttle::new(WARN_EVERY),
            known: Known::default(),
        }
    }

    /// Runs until [`Mail::Stop`].
    ///
    /// # Errors
    ///
    /// When the kernel cannot report which sockets are ready.
    pub(super) fn run(&mut self) -> anyhow::Result<()> {
        while !self.is_told_to_stop {
            self.turn()?;
        }
        if !self.has_left {
            self.driver.close_accounts(self.now);
        }
        self.publish();
        Ok(())
    }

    /// The current time.
    pub(super) fn time(&self) -> Timestamp {
        self.clock.now()
    }

    /// Ends all allocations after a panic and starts with state machine number `life`. Returns how many allocations there were.
    ///
    /// # Errors
    ///
    /// When no state machine can be made.
    pub(super) fn begin_anew(&mut self, blueprint: &Blueprint, life: u64) -> anyhow::Result<usize> {
        self.now = self.clock.now();
        let allocations = self.driver.end_allocations(self.now, &mut self.sockets);
        let server = blueprint.server(life, &self.known, self.now, self.clock.unix_time())?;
        self.sockets.start_again();
        self.driver.start_again(server);
        (self.buffers, self.ready, self.in_error) = (ReceiveBuffers::new(), VecDeque::new(), Vec::new());
        if let Some(addresses) = self.known.addresses.clone() {
            self.driver.handle_addresses(self.now, &mut self.sockets, &addresses);
        }
        if self.known.is_draining {
            self.driver.drain_again(self.now);
        }
        // The poller is edge-triggered: it does not report again what has arrived already.
        self.mailbox.look_again();
        self.resume_at = Some(self.now);
        self.publish_at = Some(self.now);
        Ok(allocations)
    }

    /// Waits until there is something to do, and does it.
    fn turn(&mut self) -> anyhow::Result<()> {
        let due = if self.ready.is_empty() { self.next_due() } else { self.now };
        for (source, has_error) in self.poller.wait_until(due, self.now).context("cannot wait for packets")? {
            if has_error {
                self.in_error.push(source);
            }
            if self.sockets.get_ready(source) {
                self.ready.push_back(source);
            }
        }
        self.work();
        Ok(())
    }

    /// Does everything that can be done now.
    fn work(&mut self) {
        self.now = self.clock.now();
        self.take_mail();
        self.give_turns();
        self.take_errors();
        self.do_what_is_due();
        // This turn, or another worker, may have removed flows.
        self.driver.install_waiting_flows();
        self.stand_still();
    }

    /// Reads each ready socket. The datagrams of several sockets are handled as one batch.
    fn give_turns(&mut self) {
        // Request queues come last: data sent before a request is then handled before it. Data sent after it is kept.
        for is_turn_of_requests in [false, true] {
            for _ in 0..self.ready.len() {
                let Some(source) = self.ready.pop_front() else { break };
                if self.sockets.requests_of(source).is_some() != is_turn_of_requests {
                    self.ready.push_back(source);
                    continue;
                }
                self.sockets.take_turn(source);
                if self.read(source) && self.sockets.get_ready(source) {
                    self.ready.push_back(source);
                }
            }
        }
        self.handle_received();
        self.look_for_requests();
    }

    /// Schedules the request queues for reading while early data waits for them.
    fn look_for_requests(&mut self) {
        if !self.driver.has_early() {
            return;
        }
        for source in self.sockets.listeners() {
            if self.sockets.requests_of(source).is_some() && self.sockets.get_ready(source) {
                self.ready.push_back(source);
            }
        }
    }

    /// Reads `source`. Returns whether something may be left.
    fn read(&mut self, source: Source) -> bool {
        for _ in 0..self.sockets.receives_per_turn(source) {
            if self.buffers.is_full() {
                self.handle_received();
                self.now = self.clock.now();
            }
            let before = self.buffers.filled();
            let receipt = self.sockets.receive(source, &mut self.buffers);
            if let Some(family) = self.sockets.requests_of(source) {
                let read = u64::try_from(self.buffers.filled() - before).unwrap_or_default();
                self.driver.note_requests(family, read, matches!(receipt, Receipt::Empty));
            }
            match receipt {
                Receipt::Empty => return false,
                Receipt::MoreToCome => {}
                Receipt::Error => self.driver.handle_receive_error(),
                Receipt::Failing(error) => {
                    self.driver.handle_receive_error();
                    if let Some(allocation) = self.sockets.allocation(source) {
                        tracing::warn!(%error, %allocation, "the socket of an allocation failed; the allocation ends");
                        self.driver.handle_relay_failed(self.now, &mut self.sockets, allocation);
                    } else {
                        if let Some(times) = self.cannot_receive.pass(self.now) {
                            tracing::warn!(%error, times, "cannot receive from clients; going on in a moment");
                        }
                        self.resume_at = Some(self.now + PAUSE);
                    }
                    return false;
                }
            }
        }
        true
    }

    /// Handles the ICMP and other errors that the kernel reports for sent datagrams.
    fn take_errors(&mut self) {
        for source in std::mem::take(&mut self.in_error) {
            self.driver.handle_socket_errors(self.now, &mut self.sockets, source);
            self.publish_soon();
        }
    }

    fn handle_received(&mut self) {
        if self.buffers.is_empty() {
            if self.driver.has_early() {
                self.driver.handle_early(self.now, &mut self.sockets, &mut self.buffers);
                self.buffers.clear();
                self.publish_soon();
            }
            return;
        }
        // Another shard may have answered this client already. The client may then use a port that was reserved for it, or must get
        // no more data on a channel that has ended. The message about either came here before the client's datagram.
        self.take_mail();
        self.driver.handle_datagrams(self.now, &mut self.sockets, &mut self.buffers);
        self.buffers.clear();
        self.publish_soon();
    }

    /// Handles all mail.
    fn take_mail(&mut self) {
        if !self.mailbox.has_mail() {
            return;
        }
        while let Some(mail) = self.mailbox.take() {
            self.handle_mail(mail);
        }
    }

    fn handle_mail(&mut self, mail: Mail) {
        // It may have been sent later than this turn began.
        self.now = self.clock.now();
        self.known.note(&mail);
        match mail {
            // Nothing that was read may be left in a buffer.
            Mail::Handover(HandoverStep::Pause(answer)) => self.pausing = Some(answer),
            // The handover was given up before this has stood still.
            Mail::Handover(HandoverStep::Resume) => self.pausing = None,
            // The others come while this stands still.
            Mail::Handover(_) => {}
            Mail::FromShard(message) => self.driver.handle_shard_message(self.now, &mut self.sockets, &message),
            Mail::RecordWith(recorder) => self.driver.record_with(self.now, &mut self.sockets, recorder),
            Mail::Addresses(addresses) => self.driver.handle_addresses(self.now, &mut self.sockets, &addresses),
            Mail::PeerPolicy(policy) => self.driver.handle_peer_policy(self.now, &mut self.sockets, policy),
            Mail::Accept(accepted) => self.driver.accept_credentials(self.now, accepted),
            Mail::Offload(NewOffload(offload)) => self.driver.offload_to(offload),
            Mail::TellAccounts => self.driver.tell_accounts(),
            Mail::Drain => self.driver.handle_drain(self.now),
            Mail::Stop => self.is_told_to_stop = true,
            #[cfg(test)]
            Mail::FailForGood => self.driver.fail_for_good(),
        }
        self.publish_soon();
    }

    fn publish(&mut self) {
        self.sockets.tell_send_failures(self.now);
        self.driver.note_overruns(self.sockets.take_overruns());
        self.driver.publish();
    }

    fn publish_soon(&mut self) {
        self.publish_at.get_or_insert(self.now + PUBLISH_WITHIN);
    }

    /// When the next task is due.
    fn next_due(&self) -> Timestamp {
        let others = [self.driver.poll_timeout(), self.publish_at, self.resume_at];
        others.into_iter().flatten().fold(self.beat_at.min(self.wall_clock_at), Timestamp::min)
    }

    fn do_what_is_due(&mut self) {
        let now = self.now;
        if self.driver.poll_timeout().is_some_and(|due| due <= now) {
            self.driver.handle_timeout(now, &mut self.sockets);
            self.publish_soon();
        }
        if self.beat_at <= now {
            self.beat_at = now + Pulse::EVERY;
            self.pulse.beat(now);
        }
        if self.wall_clock_at <= now {
            self.wall_clock_at = now + WALL_CLOCK_EVERY;
            self.driver.handle_wall_clock(now, &mut self.sockets, self.clock.unix_time());
            // A jump is counted by the state machine, even when nothing is relayed.
            self.publish_soon();
            if self.driver.should_trim_memory() {
                memory::trim();
            }
        }
        if self.publish_at.is_some_and(|due| due <= now) {
            self.publish_at = None;
            self.publish();
        }
        if self.resume_at.is_some_and(|due| due <= now) {
            self.resume_at = None;
            for source in self.sockets.listeners() {
                if self.sockets.get_ready(source) {
                    self.ready.push_back(source);
                }
            }
        }
    }
}

/// For tests that run each turn by hand.
#[cfg(test)]
impl<S: Inbound, C: TimeSource> EventLoop<S, C> {
    /// Runs one turn without waiting, with `arrived` as the sockets that became readable.
    pub(super) fn turn_with(&mut self, arrived: impl IntoIterator<Item = Source>) {
        for source in arrived {
            if self.sockets.get_ready(source) {
                self.ready.push_back(source);
            }
        }
        self.work();
    }

    /// When to run the next turn if nothing arrives; now if not everything was read.
    pub(super) fn next_turn(&self) -> Timestamp {
        if self.ready.is_empty() { self.next_due() } else { self.now }
    }

    /// Publishes the counters at once.
    pub(super) fn publish_now(&mut self) {
        self.publish();
    }

    pub(super) const fn driver(&self) -> &Driver<Box<dyn Offload + Send>> {
        &self.driver
    }

    pub(super) const fn sockets(&self) -> &S {
        &self.sockets
    }

    pub(super) const fn sockets_mut(&mut self) -> &mut S {
        &mut self.sockets
    }
}

#[cfg(test)]
#[path = "event_loop_tests.rs"]
mod tests;
