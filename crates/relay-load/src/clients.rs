//! Opens, refreshes and closes many TURN clients at a time.

use std::{
    net::{SocketAddr, UdpSocket},
    rc::Rc,
};

use anyhow::{Context as _, Result, bail, ensure};
use turn_client::TurnClient;

use crate::{
    client::{Client, Server, Step},
    clock,
    sequence::{Outcome, SilenceLimit, Start, run},
    socket,
};

/// What application data goes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Via {
    /// ChannelData.
    Channel,
    /// Send and Data indications.
    Indication,
}

impl Via {
    /// What a client needs before it can send to `peer`.
    const fn grant(self, peer: SocketAddr) -> Step {
        match self {
            Self::Channel => Step::Bind(peer),
            Self::Indication => Step::Permit(peer),
        }
    }
}

/// How many clients close at a time.
const CLOSING_WINDOW: usize = 32;

/// Opens `count` clients, at most `window` at a time, which may send `via` to the peer that `peer_of` returns.
///
/// # Errors
///
/// When a socket cannot be opened, a client is refused, or the program is to end. Open allocations are closed again.
pub(crate) fn open(
    server: &Server,
    count: usize,
    window: usize,
    via: Via,
    peer_of: impl Fn(usize) -> SocketAddr,
) -> Result<Vec<Client>> {
    let steps = |index| vec![Step::Allocate, via.grant(peer_of(index))];
    all(server, count, "set up", |clients| travel(server, count, window, steps, |client| clients.push(client)))
}

/// Runs `work` for `count` clients. If one of them cannot do `what`, closes all and returns an error.
fn all(
    server: &Server,
    count: usize,
    what: &str,
    work: impl FnOnce(&mut Vec<Client>) -> Result<Outcome>,
) -> Result<Vec<Client>> {
    let mut clients = Vec::with_capacity(count);
    let result = work(&mut clients).and_then(|outcome| complete(&outcome, count, what, server));
    match result {
        Ok(()) => Ok(clients),
        Err(error) => {
            end(server, clients);
            Err(error)
        }
    }
}

/// Fails unless all `count` clients could do `what`.
fn complete(outcome: &Outcome, count: usize, what: &str, server: &Server) -> Result<()> {
    let Outcome { done, failed, failures, .. } = outcome;
    if *failed > 0 {
        bail!("{failed} of {count} clients could not {what} at {}: {}", server.address, failures.join("; "));
    }
    ensure!(*done >= count, "interrupted: {done} of {count} clients could {what} at {} until then", server.address);
    Ok(())
}

/// Refreshes the allocations of `clients` and their channels, `window` at a time.
///
/// # Errors
///
/// When a client is refused, so that its allocation is gone, or the program is to end. `clients` then has those with an allocation.
pub(crate) fn refresh(server: &Server, clients: &mut Vec<Client>, window: usize) -> Result<()> {
    let count = clients.len();
    let mut waiting = std::mem::take(clients).into_iter();
    let next = || {
        let Client { socket, turn, relayed, grant } = waiting.next()?;
        let steps = std::iter::once(Step::Refresh).chain(grant).collect();
        Some(Ok((socket, turn, Some(relayed), steps)))
    };
    let outcome = run(server, window, SilenceLimit::UntilInterrupted, next, |client| clients.push(client));
    clients.extend(waiting);
    outcome.and_then(|outcome| complete(&outcome, count, "refresh", server))
}

/// Closes the allocations of `clients` before this program ends, and warns if that fails. Gives up soon when the server is gone.
pub(crate) fn end(server: &Server, clients: Vec<Client>) {
    let count = clients.len();
    if count == 0 {
        return;
    }
    eprintln!("closing {count} allocations at {} ...", server.address);
    let steps = || vec![Step::Delete];
    let (done, why) = match run(server, CLOSING_WINDOW, SilenceLimit::UntilSilence, again_from(clients, steps), |_| {})
    {
        Ok(outcome) => (outcome.done, outcome.failures.join("; ")),
        Err(error) => (0, format!("{error:#}")),
    };
    if done < count {
        eprintln!(
            "warning: {} of {count} allocations could not be closed at {}: {why}; those that are left end by themselves, within \
             10 minutes unless the server says otherwise, and until then may be in the way of a client with the same address and port",
            count - done,
            server.address
        );
    }
}

/// Makes the requests `steps` with `clients` that have allocations.
fn again_from(clients: Vec<Client>, steps: impl Fn() -> Vec<Step>) -> impl FnMut() -> Option<Result<Start>> {
    let mut waiting = clients.into_iter();
    move || {
        let client = waiting.next()?;
        Some(Ok((client.socket, client.turn, Some(client.relayed), steps())))
    }
}

/// Like [`open`], but returns refusals instead of failing.
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

/// Closes the allocations of `clients`, at most `window` at a time. If `again`, each then allocates and deletes once more at the
/// same 5-tuple.
pub(crate) fn close(server: &Server, clients: Vec<Client>, window: usize, again: bool) -> Result<Outcome> {
    let steps = || if again { vec![Step::Delete, Step::Allocate, Step::Delete] } else { vec![Step::Delete] };
    run(server, window, SilenceLimit::UntilInterrupted, again_from(clients, steps), |_| {})
}

/// Opens `count` pairs of allocations. The two of a pair may send `via` to each other.
///
/// # Errors
///
/// Those of [`open`].
pub(crate) fn open_pairs(server: &Server, count: usize, window: usize, via: Via) -> Result<Vec<Client>> {
    let count = count.max(1) * 2;
    let clients = all(server, count, "allocate", |clients| {
        travel(server, count, window, |_| vec![Step::Allocate], |client| clients.push(client))
    })?;
    let relayed: Vec<SocketAddr> = clients.iter().map(|client| client.relayed).collect();
    let mut others = relayed.chunks(2).flat_map(|pair| pair.iter().rev().copied());
    let mut waiting = clients.into_iter();
    all(server, count, "get leave to send", |bound| {
        let next = || {
            let (client, other) = (waiting.next()?, others.next()?);
            Some(Ok((client.socket, client.turn, Some(client.relayed), vec![via.grant(other)])))
        };
        let outcome = run(server, window, SilenceLimit::UntilInterrupted, next, |client| bound.push(client));
        // Clients that were not reached have allocations, too.
        bound.extend(waiting);
        outcome
    })
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
        SilenceLimit::UntilInterrupted,
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

fn connect(server: &Server) -> Result<(Rc<UdpSocket>, TurnClient)> {
    let socket = socket::bind(SocketAddr::new(server.from, 0)).with_context(|| {
        format!("cannot open a socket at {} (raise `ulimit -n` if there are too many open files)", server.from)
    })?;
    socket.connect(server.address).with_context(|| format!("cannot reach {}", server.address))?;
    let seed = u64::from(socket.local_addr()?.port()) << 32 | clock::nanos(clock::now()) & 0xFFFF_FFFF;
    let turn = TurnClient::new(server.credentials.clone(), seed);
    Ok((Rc::new(socket), turn))
}
