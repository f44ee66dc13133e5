//! Many TURN clients, each with a socket of its own.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use turn_client::{Allocate, Credentials, Request, RequestId, Success, TurnClient};

use crate::{clock, poller::Poller, socket};

/// The channel that every client binds.
pub(crate) const CHANNEL: u16 = 0x4000;

/// Which TURN server, and what to tell it.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) credentials: Credentials,
    /// Where clients send from.
    pub(crate) from: IpAddr,
}

/// A client with an open allocation.
pub(crate) struct Client {
    pub(crate) socket: UdpSocket,
    /// Its relayed transport address.
    pub(crate) relayed: SocketAddr,
    turn: TurnClient,
}

/// What a client does on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Allocate,
    Bind(SocketAddr),
    Delete,
}

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

struct Journey {
    socket: UdpSocket,
    turn: TurnClient,
    relayed: Option<SocketAddr>,
    step: usize,
    request: RequestId,
    result: Option<Result<(), String>>,
}

/// How many failures are told in full.
const TOLD: usize = 3;

/// Opens `count` allocations, at most `window` of them at a time, with a channel to the peer that `peer_of` names.
///
/// # Errors
///
/// When a socket cannot be opened, or any client is refused.
pub(crate) fn open(
    server: &Server,
    count: usize,
    window: usize,
    peer_of: impl Fn(usize) -> SocketAddr,
) -> Result<Vec<Client>> {
    let (clients, outcome) = open_some(server, count, window, peer_of)?;
    if outcome.failed > 0 {
        bail!(
            "{} of {count} clients could not set up at {}: {}",
            outcome.failed,
            server.address,
            outcome.failures.join("; ")
        );
    }
    Ok(clients)
}

/// The same, and tells of refusals instead of failing.
///
/// # Errors
///
/// When a socket cannot be opened.
pub(crate) fn open_some(
    server: &Server,
    count: usize,
    window: usize,
    peer_of: impl Fn(usize) -> SocketAddr,
) -> Result<(Vec<Client>, Outcome)> {
    let mut clients = Vec::with_capacity(count);
    let steps = |index| vec![Step::Allocate, Step::Bind(peer_of(index))];
    let outcome = travel(server, count, window, steps, |client| clients.push(client))?;
    Ok((clients, outcome))
}

/// Opens and closes `count` allocations, `window` at a time.
pub(crate) fn cycle(server: &Server, count: usize, window: usize) -> Result<Outcome> {
    travel(server, count, window, |_| vec![Step::Allocate, Step::Delete], |_| {})
}

/// Closes the allocations of `clients`, at most `window` at a time; then each tries to allocate again at once from the same
/// 5-tuple if `again` says so.
pub(crate) fn close(server: &Server, clients: Vec<Client>, window: usize, again: bool) -> Result<Outcome> {
    let steps = || if again { vec![Step::Delete, Step::Allocate, Step::Delete] } else { vec![Step::Delete] };
    let mut waiting = clients.into_iter();
    run(
        server,
        window,
        || {
            let client = waiting.next()?;
            Some(Ok((client.socket, client.turn, Some(client.relayed), steps())))
        },
        |_| {},
    )
}

/// Lets `client` bind its channel to `peer`, and waits for it.
pub(crate) fn bind(server: &Server, client: Client, peer: SocketAddr) -> Result<Client> {
    let mut bound = None;
    let mut start = Some((client.socket, client.turn, Some(client.relayed), vec![Step::Bind(peer)]));
    let outcome = run(server, 1, || start.take().map(Ok), |client| bound = Some(client))?;
    bound.with_context(|| format!("cannot bind a channel at {}: {}", server.address, outcome.failures.join("; ")))
}

/// Opens allocations without a channel.
pub(crate) fn allocate(server: &Server, count: usize, window: usize) -> Result<Vec<Client>> {
    let mut clients = Vec::with_capacity(count);
    let outcome = travel(server, count, window, |_| vec![Step::Allocate], |client| clients.push(client))?;
    if outcome.failed > 0 {
        bail!(
            "{} of {count} allocations failed at {}: {}",
            outcome.failed,
            server.address,
            outcome.failures.join("; ")
        );
    }
    Ok(clients)
}

fn travel(
    server: &Server,
    count: usize,
    window: usize,
    steps_of: impl Fn(usize) -> Vec<Step>,
    arrived: impl FnMut(Client),
) -> Result<Outcome> {
    let mut started = 0;
    run(
        server,
        window,
        || {
            if started == count {
                return None;
            }
            started += 1;
            Some(connect(server).map(|(socket, turn)| (socket, turn, None, steps_of(started - 1))))
        },
        arrived,
    )
}

fn connect(server: &Server) -> Result<(UdpSocket, TurnClient)> {
    let socket = socket::bind(SocketAddr::new(server.from, 0)).with_context(|| {
        format!("cannot open a socket at {} (raise `ulimit -n` if there are too many open files)", server.from)
    })?;
    socket.connect(server.address).with_context(|| format!("cannot reach {}", server.address))?;
    let seed = u64::from(socket.local_addr()?.port()) << 32 | clock::nanos(clock::now()) & 0xFFFF_FFFF;
    let turn = TurnClient::new(server.credentials.clone(), seed);
    Ok((socket, turn))
}

type Start = (UdpSocket, TurnClient, Option<SocketAddr>, Vec<Step>);

/// Takes clients from `next` and lets each do its steps, at most `window` at a time.
fn run(
    server: &Server,
    window: usize,
    mut next: impl FnMut() -> Option<Result<Start>>,
    mut arrived: impl FnMut(Client),
) -> Result<Outcome> {
    let mut poller = Poller::new()?;
    let mut slots: Vec<Option<(Journey, Vec<Step>)>> = (0..window.max(1)).map(|_| None).collect();
    let mut idle: Vec<usize> = (0..slots.len()).collect();
    let mut outcome = Outcome::default();
    let start = clock::now();
    let mut exhausted = false;
    let mut retransmitted = start;
    loop {
        while let (false, Some(slot)) = (exhausted, idle.last().copied()) {
            let Some(started) = next() else {
                exhausted = true;
                break;
            };
            let (socket, mut turn, relayed, steps) = started?;
            idle.pop();
            poller.add(&socket, slot)?;
            let request = turn.request(clock::instant(), request(steps[0]));
            let mut journey = Journey { socket, turn, relayed, step: 0, request, result: None };
            journey.flush();
            slots[slot] = Some((journey, steps));
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
            let Some((journey, steps)) = &mut slots[slot] else { continue };
            journey.advance(steps);
            if journey.result.is_some()
                && let Some((journey, _)) = slots[slot].take()
            {
                idle.push(slot);
                match journey.result {
                    Some(Ok(())) => {
                        outcome.done += 1;
                        let relayed = journey.relayed.unwrap_or(server.address);
                        arrived(Client { socket: journey.socket, relayed, turn: journey.turn });
                    }
                    Some(Err(failure)) => {
                        outcome.failed += 1;
                        if outcome.failures.len() < TOLD {
                            outcome.failures.push(failure);
                        }
                    }
                    None => {}
                }
            }
        }
    }
    outcome.elapsed = clock::now() - start;
    Ok(outcome)
}

fn request(step: Step) -> Request {
    match step {
        Step::Allocate => Request::Allocate(Allocate::default()),
        Step::Bind(peer) => Request::ChannelBind { channel: CHANNEL, peer },
        Step::Delete => Request::Refresh { lifetime: Some(Duration::ZERO) },
    }
}

impl Journey {
    fn flush(&mut self) {
        while let Some(datagram) = self.turn.poll_transmit() {
            // What is lost is sent again.
            let _ = self.socket.send(&datagram);
        }
    }

    /// Takes what arrived, and goes on.
    fn advance(&mut self, steps: &[Step]) {
        let mut buffer = [0; 2048];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            self.turn.handle_datagram(clock::instant(), &buffer[..length]);
        }
        self.turn.handle_timeout(clock::instant());
        while let Some((id, answer)) = self.turn.poll_answer() {
            if id != self.request {
                continue;
            }
            match answer {
                Err(failure) => self.result = Some(Err(format!("{:?}: {failure}", steps[self.step]))),
                Ok(success) => {
                    if let Success::Allocated(allocated) = success {
                        self.relayed = allocated.relayed.first().copied();
                    }
                    self.step += 1;
                    match steps.get(self.step) {
                        Some(step) => self.request = self.turn.request(clock::instant(), request(*step)),
                        None => self.result = Some(Ok(())),
                    }
                }
            }
        }
        self.flush();
    }
}
