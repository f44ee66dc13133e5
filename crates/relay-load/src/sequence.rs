//! The requests of many clients at a time, each on its own way.

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

/// What a number of clients did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// How many went all the way.
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
    /// Why it could not go on, and until when it tries to give back what it holds.
    backing_out: Option<(String, Duration)>,
    result: Option<Result<(), String>>,
}

/// How long the server may say nothing to anybody, until all give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SilenceLimit {
    /// [`LONG_SILENCE`], but only [`SILENCE`] when the program is to end.
    UntilInterrupted,
    /// [`SILENCE`]: there is nothing to win any more.
    UntilSilence,
}

/// Long enough for a request and three more of the same, sent after 0.5, 1.5 and 3.5 s.
const SILENCE: Duration = Duration::from_secs(4);

/// A request has been sent as often as [RFC 8489](https://www.rfc-editor.org/rfc/rfc8489#section-6.2.1) says, for 39.5 s: those that
/// wait for their turn need not try.
const LONG_SILENCE: Duration = Duration::from_secs(40);

/// How often it is told how far they are.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// How many failures are told in full.
const TOLD: usize = 3;

/// A client's socket, state, relayed transport address if it has one, and what it is to do.
pub(crate) type Start = (Rc<UdpSocket>, TurnClient, Option<SocketAddr>, Vec<Step>);

/// Takes clients from `next` and lets each do its steps, at most `window` at a time. Whoever cannot go on gives its allocation
/// back. When the program is to end, nobody sets out any more.
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
                // The others still have to come to an end.
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
            // What is lost is sent again.
            let _ = self.socket.send(&datagram);
        }
    }

    /// Takes what arrived, and goes on; says whether there was an answer.
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

    /// Ends with `failure`, after giving back what it holds, if it does.
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
