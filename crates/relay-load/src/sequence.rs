//! Runs sequences of requests for many clients at a time.

use std::{
    net::{SocketAddr, UdpSocket},
    rc::Rc,
    time::Duration,
};

use anyhow::Result;
use turn_client::{Allocate, Failure, Request, RequestId, Success, TurnClient};

use crate::{
    client::{CHANNEL, Client, Server, Step},
    clock, interrupt,
    poller::Poller,
};

/// The result for a number of clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// How many clients made all requests.
    pub(crate) done: usize,
    /// The first few failures.
    pub(crate) failures: Vec<String>,
    pub(crate) failed: usize,
    pub(crate) elapsed: Duration,
}

struct Sequence {
    socket: Rc<UdpSocket>,
    turn: TurnClient,
    relayed: Option<SocketAddr>,
    grant: Option<Step>,
    steps: Vec<Step>,
    step: usize,
    request: RequestId,
    /// Whether the server holds an allocation for it, as far as it knows.
    holds: bool,
    /// Why it failed, and until when it tries to delete its allocation.
    backing_out: Option<(String, Duration)>,
    result: Option<Result<(), String>>,
}

/// How long the server may answer no client before all clients give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SilenceLimit {
    /// [`LONG_SILENCE`], but [`SILENCE`] once the program is to end.
    UntilInterrupted,
    /// [`SILENCE`]: there is nothing left to gain.
    UntilSilence,
}

/// Enough for a request and three retransmissions, at 0.5, 1.5 and 3.5 s.
const SILENCE: Duration = Duration::from_secs(4);

/// About the 39.5 s after which a request fails in [RFC 8489](https://www.rfc-editor.org/rfc/rfc8489#section-6.2.1). Clients that
/// wait for their turn need not try any more.
const LONG_SILENCE: Duration = Duration::from_secs(40);

/// How often to report progress.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// How many failures are reported in full.
const TOLD: usize = 3;

/// A client's socket and state, its relayed transport address if it has one, and its requests.
pub(crate) type Start = (Rc<UdpSocket>, TurnClient, Option<SocketAddr>, Vec<Step>);

/// Takes clients from `next` and makes their requests, for at most `window` clients at a time. A client that fails deletes its
/// allocation. Takes no more clients once the program is to end.
pub(crate) fn run(
    server: &Server,
    window: usize,
    silence_limit: SilenceLimit,
    mut next: impl FnMut() -> Option<Result<Start>>,
    mut arrived: impl FnMut(Client),
) -> Result<Outcome> {
    let mut poller = Poller::new()?;
    let mut slots: Vec<Option<Sequence>> = (0..window.max(1)).map(|_| None).collect();
    let mut idle: Vec<usize> = (0..slots.len()).collect();
    let mut outcome = Outcome::default();
    let start = clock::now();
    let mut exhausted = false;
    let mut broken = None;
    let mut retransmitted = start;
    let mut heard = start;
    let mut told = start;
    loop {
        let interrupted = silence_limit == SilenceLimit::UntilInterrupted && interrupt::requested();
        exhausted |= interrupted;
        while let (false, Some(slot)) = (exhausted, idle.last().copied()) {
            match next().map(|started| started.and_then(|started| Sequence::start(started, &poller, slot))) {
                Some(Ok(sequence)) => {
                    idle.pop();
                    slots[slot] = Some(sequence);
                }
                // The clients that have started must still finish.
                ended => (exhausted, broken) = (true, ended.and_then(Result::err)),
            }
        }
        if exhausted && idle.len() == slots.len() {
            break;
        }
        let mut ready: Vec<usize> = poller.wait(Some(Duration::from_millis(50)))?.collect();
        let now = clock::now();
        if now - retransmitted > Duration::from_millis(100) {
            retransmitted = now;
            ready = (0..slots.len()).collect();
        }
        for slot in ready {
            let Some(sequence) = &mut slots[slot] else { continue };
            if sequence.advance(now) {
                heard = now;
            }
            if let Some(result) = sequence.result.take()
                && let Some(sequence) = slots[slot].take()
            {
                idle.push(slot);
                match result {
                    Ok(()) => {
                        outcome.done += 1;
                        let relayed = sequence.relayed.unwrap_or(server.address);
                        arrived(Client {
                            socket: sequence.socket,
                            relayed,
                            grant: sequence.grant,
                            turn: sequence.turn,
                        });
                    }
                    Err(failure) => outcome.fail(failure),
                }
            }
        }
        let silence = now - heard;
        let silence_limit =
            if interrupted || silence_limit == SilenceLimit::UntilSilence { SILENCE } else { LONG_SILENCE };
        if silence > silence_limit {
            outcome.fail(format!("no answer for {} s", silence_limit.as_secs()));
            break;
        }
        if now - told > TELL_EVERY {
            told = now;
            let (under_way, silence) = (slots.len() - idle.len(), silence.as_secs());
            let silence = if silence > 0 { format!(", no answer for {silence} s") } else { String::new() };
            eprintln!(
                "{} clients are through, {} could not, {under_way} are at it{silence}",
                outcome.done, outcome.failed
            );
        }
    }
    outcome.elapsed = clock::now() - start;
    broken.map_or(Ok(outcome), Err)
}

impl Outcome {
    fn fail(&mut self, failure: String) {
        self.failed += 1;
        if self.failures.len() < TOLD {
            self.failures.push(failure);
        }
    }
}

fn request(step: Step) -> Request {
    match step {
        Step::Allocate => Request::Allocate(Allocate::default()),
        Step::Bind(peer) => Request::ChannelBind { channel: CHANNEL, peer },
        Step::Permit(peer) => Request::CreatePermission { peers: vec![peer] },
        Step::Refresh => Request::Refresh { lifetime: None },
        Step::Delete => Request::Refresh { lifetime: Some(Duration::ZERO) },
    }
}

impl Sequence {
    fn start((socket, mut turn, relayed, steps): Start, poller: &Poller, slot: usize) -> Result<Self> {
        poller.add(&*socket, slot)?;
        let request = turn.request(clock::instant(), request(steps[0]));
        let holds = relayed.is_some();
        let mut sequence = Self {
            socket,
            turn,
            relayed,
            grant: None,
            steps,
            step: 0,
            request,
            holds,
            backing_out: None,
            result: None,
        };
        sequence.flush();
        Ok(sequence)
    }

    fn flush(&mut self) {
        while let Some(datagram) = self.turn.poll_transmit() {
            // Lost requests are retransmitted.
            let _ = self.socket.send(&datagram);
        }
    }

    /// Handles received datagrams and continues. Returns whether there was a response.
    fn advance(&mut self, now: Duration) -> bool {
        let mut buffer = [0; 2048];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            self.turn.handle_datagram(clock::instant(), &buffer[..length]);
        }
        self.turn.handle_timeout(clock::instant());
        let mut answered = false;
        while let Some((id, answer)) = self.turn.poll_answer() {
            if id != self.request {
                continue;
            }
            answered |= !matches!(answer, Err(Failure::TimedOut));
            match answer {
                Err(failure) => {
                    let failure = format!("{:?}: {failure}", self.steps[self.step]);
                    self.back_out(now, failure);
                }
                Ok(success) => {
                    self.holds = self.steps[self.step] != Step::Delete;
                    if let Success::Allocated(allocated) = success {
                        self.relayed = allocated.relayed.first().copied();
                    }
                    if let grant @ (Step::Bind(_) | Step::Permit(_)) = self.steps[self.step] {
                        self.grant = Some(grant);
                    }
                    self.step += 1;
                    match (self.steps.get(self.step), self.backing_out.take()) {
                        (Some(step), _) => self.request = self.turn.request(clock::instant(), request(*step)),
                        (None, Some((failure, _))) => self.result = Some(Err(failure)),
                        (None, None) => self.result = Some(Ok(())),
                    }
                }
            }
        }
        if let Some((failure, until)) = &self.backing_out
            && now > *until
        {
            self.result = Some(Err(failure.clone()));
        }
        self.flush();
        answered
    }

    /// Fails with `failure`, after deleting the allocation if there is one.
    fn back_out(&mut self, now: Duration, failure: String) {
        let is_over = !self.holds || self.steps[self.step] == Step::Delete;
        match self.backing_out.take() {
            Some((first, _)) => self.result = Some(Err(first)),
            None if is_over => self.result = Some(Err(failure)),
            None => {
                self.backing_out = Some((failure, now + SILENCE));
                (self.steps, self.step) = (vec![Step::Delete], 0);
                self.request = self.turn.request(clock::instant(), request(Step::Delete));
            }
        }
    }
}
