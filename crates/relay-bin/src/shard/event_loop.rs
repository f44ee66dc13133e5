use std::{collections::VecDeque, time::Duration};

use anyhow::Context as _;
use relay_server::Timestamp;

use super::{
    driver::Driver,
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
    offload::Offload,
    throttle::Throttle,
};

/// How often to look at the wall clock, which people and NTP may set.
const WALL_CLOCK_EVERY: Duration = Duration::from_secs(10);

/// How long others may see old figures. Showing them costs as much as some packets do.
const PUBLISH_WITHIN: Duration = Duration::from_millis(10);

/// How long to leave a listening socket alone that gives nothing but errors.
const PAUSE: Duration = Duration::from_millis(100);

/// How often to warn that one gives nothing but errors.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// What turns a shard: gives each socket that has something its turn, then what is due, then waits.
pub(super) struct EventLoop<S = Sockets, C = Clock> {
    driver: Driver<Box<dyn Offload + Send>>,
    sockets: S,
    poller: Poller,
    mailbox: Mailbox,
    buffers: ReceiveBuffers,
    clock: C,
    /// When this turn began, or its last batch: asking the clock takes longer than most of what is done with the answer.
    now: Timestamp,
    pulse: Pulse,
    /// The sockets that may have something to read, in the order of their turns.
    ready: VecDeque<Source>,
    /// The sockets about which the kernel tells of errors. Empty from one turn to the next.
    in_error: Vec<Source>,
    is_told_to_stop: bool,
    /// When to do what only now and then must be done.
    wall_clock_at: Timestamp,
    beat_at: Timestamp,
    publish_at: Option<Timestamp>,
    resume_at: Option<Timestamp>,
    cannot_receive: Throttle,
    /// For what comes after a panic.
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
            wall_clock_at: now + WALL_CLOCK_EVERY,
            beat_at: now,
            publish_at: None,
            resume_at: None,
            cannot_receive: Throttle::new(WARN_EVERY),
            known: Known::default(),
        }
    }

    /// Turns until told to stop.
    ///
    /// # Errors
    ///
    /// When the kernel does not tell what is ready.
    pub(super) fn run(&mut self) -> anyhow::Result<()> {
        while !self.is_told_to_stop {
            self.turn()?;
        }
        self.driver.close_accounts(self.now);
        self.publish();
        Ok(())
    }

    /// What time it is.
    pub(super) fn time(&self) -> Timestamp {
        self.clock.now()
    }

    /// Ends all allocations after a panic, and begins life number `life`: how many allocations there were.
    ///
    /// # Errors
    ///
    /// When there is no state machine to begin with.
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
        // What has arrived is not told of a second time.
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

    /// Does everything that there is to do now.
    fn work(&mut self) {
        self.now = self.clock.now();
        self.take_mail();
        self.give_turns();
        self.take_errors();
        self.do_what_is_due();
        // There may be room since this turn, or since another worker's.
        self.driver.install_waiting_flows();
    }

    /// Gives each socket that is ready its turn. What several have received is handled together.
    fn give_turns(&mut self) {
        // Requests come last: data that was sent before a request is then handled before it, and data that was sent after it waits.
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

    /// Where data waits for requests that it may have overtaken, sees to it that these are read, or known not to be there.
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

    /// Reads `source`, and tells whether something may be left.
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

    /// Takes what the kernel says of datagrams that did not arrive.
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
        // A client may know already what another shard told it and this one: of a reserved port, or of a channel's end, after which
        // nothing may be sent on it.
        self.take_mail();
        self.driver.handle_datagrams(self.now, &mut self.sockets, &mut self.buffers);
        self.buffers.clear();
        self.publish_soon();
    }

    /// Takes what others have sent until now.
    fn take_mail(&mut self) {
        if !self.mailbox.has_mail() {
            return;
        }
        while let Some(mail) = self.mailbox.take() {
            // It may have been sent later than this turn began.
            self.now = self.clock.now();
            self.known.note(&mail);
            match mail {
                Mail::FromShard(message) => self.driver.handle_shard_message(self.now, &mut self.sockets, &message),
                Mail::RecordWith(recorder) => self.driver.record_with(self.now, recorder),
                Mail::Addresses(addresses) => self.driver.handle_addresses(self.now, &mut self.sockets, &addresses),
                Mail::PeerPolicy(policy) => self.driver.handle_peer_policy(self.now, &mut self.sockets, policy),
                Mail::Accept(accepted) => self.driver.accept_credentials(self.now, accepted),
                Mail::TellAccounts => self.driver.tell_accounts(),
                Mail::Drain => self.driver.handle_drain(self.now),
                Mail::Stop => self.is_told_to_stop = true,
                #[cfg(test)]
                Mail::FailForGood => self.driver.fail_for_good(),
            }
            self.publish_soon();
        }
    }

    fn publish(&mut self) {
        self.sockets.tell_send_failures(self.now);
        self.driver.note_overruns(self.sockets.take_overruns());
        self.driver.publish();
    }

    fn publish_soon(&mut self) {
        self.publish_at.get_or_insert(self.now + PUBLISH_WITHIN);
    }

    /// When the next thing is due.
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
            // A jump is counted, also where nothing is relayed.
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

/// For a test that turns it by hand.
#[cfg(test)]
impl<S: Inbound, C: TimeSource> EventLoop<S, C> {
    /// Turns once, without waiting, where `arrived` have something to read.
    pub(super) fn turn_with(&mut self, arrived: impl IntoIterator<Item = Source>) {
        for source in arrived {
            if self.sockets.get_ready(source) {
                self.ready.push_back(source);
            }
        }
        self.work();
    }

    /// When to turn next, whatever arrives; at once if not everything was read.
    pub(super) fn next_turn(&self) -> Timestamp {
        if self.ready.is_empty() { self.next_due() } else { self.now }
    }

    /// Shows everything that was counted so far.
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
