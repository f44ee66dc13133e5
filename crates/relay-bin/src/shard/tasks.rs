use std::{
    cell::OnceCell,
    future::poll_fn,
    io,
    rc::{Rc, Weak},
    time::Duration,
};

use relay_server::{AllocationId, AllocationPort};
use tokio::{
    task::{spawn_local, yield_now},
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};

use super::{
    Shard,
    sockets::{Listener, RelayReader, SpawnReader},
};
use crate::{
    clock::Clock,
    health::Pulse,
    memory,
    socket::{Rest, Role, UdpSocket},
};

/// How many batches one socket may deliver before the others get their turn.
const BATCHES_PER_TURN: usize = 4;

/// The same for the socket that strangers reach: its datagrams cost more each, and what has an allocation comes first.
const REQUEST_BATCHES_PER_TURN: usize = 1;

/// How many errors in a row make a relay socket a failed one.
const MAX_ERRORS: u32 = 16;

/// How long to leave a listening socket alone after that many errors.
const PAUSE: Duration = Duration::from_millis(100);

/// How often to look at the wall clock, which people and NTP may set.
const WALL_CLOCK_EVERY: Duration = Duration::from_secs(10);

/// Reads a listening socket for as long as the shard lives.
pub(super) async fn read_listener(shard: Rc<Shard>, listener: Listener) {
    let mut errors = 0;
    let batches = match listener.role {
        Role::Requests => REQUEST_BATCHES_PER_TURN,
        _ => BATCHES_PER_TURN,
    };
    loop {
        if listener.socket.readable().await.is_err() {
            return;
        }
        let turn = read(&shard, &listener.socket, batches, &mut errors, |shard| {
            // A client may know already what another shard told it and this one, of a reserved port.
            shard.take_messages();
            let buffers = shard.buffers.borrow();
            shard.driver.borrow_mut().handle_client_datagrams(shard.now(), listener.address, &buffers);
        });
        match turn {
            Turn::Empty => {}
            Turn::MoreToCome => yield_now().await,
            Turn::Failing(error) => {
                tracing::warn!(%error, "cannot receive from clients; going on in a moment");
                errors = 0;
                sleep(PAUSE).await;
            }
        }
    }
}

/// Makes what starts the tasks that read the sockets of allocations, of the shard that `shard` will hold.
pub(super) fn spawn_relay_reader(shard: Rc<OnceCell<Weak<Shard>>>) -> SpawnReader {
    Box::new(move |reader| {
        let shard = shard.get().cloned().unwrap_or_default();
        spawn_local(read_relay(shard, reader)).abort_handle()
    })
}

/// Reads the socket of an allocation until it is aborted, or the socket fails for good.
async fn read_relay(shard: Weak<Shard>, reader: RelayReader) {
    let RelayReader { socket, id, port } = reader;
    let mut errors = 0;
    loop {
        if socket.readable().await.is_err() {
            return;
        }
        let Some(shard) = shard.upgrade() else { return };
        match read_relay_once(&shard, &socket, id, port, &mut errors) {
            Turn::Empty => {}
            Turn::MoreToCome => {
                drop(shard);
                yield_now().await;
            }
            Turn::Failing(_) => return,
        }
    }
}

fn read_relay_once(
    shard: &Shard,
    socket: &UdpSocket,
    id: AllocationId,
    port: AllocationPort,
    errors: &mut u32,
) -> Turn {
    let turn = read(shard, socket, BATCHES_PER_TURN, errors, |shard| {
        let buffers = shard.buffers.borrow();
        shard.driver.borrow_mut().handle_peer_datagrams(shard.now(), port, &buffers);
    });
    if let Turn::Failing(error) = &turn {
        tracing::warn!(%error, allocation = %id, "the socket of an allocation failed; the allocation ends");
        shard.driver.borrow_mut().handle_relay_failed(shard.now(), id);
    }
    turn
}

/// How a socket's turn ended.
enum Turn {
    /// Nothing is left.
    Empty,
    /// Something may be left.
    MoreToCome,
    /// There were too many errors in a row.
    Failing(io::Error),
}

/// Gives a socket its turn: receives some batches and hands each to `handle`.
fn read(shard: &Shard, socket: &UdpSocket, batches: usize, errors: &mut u32, handle: impl Fn(&Shard)) -> Turn {
    for _ in 0..batches {
        let received = socket.receive(&mut shard.buffers.borrow_mut());
        match received {
            Ok(rest) => {
                *errors = 0;
                handle(shard);
                if rest == Rest::Empty {
                    return Turn::Empty;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Turn::Empty,
            // Such as an ICMP error that the kernel pins on the socket although it concerns one remote only.
            Err(error) => {
                tracing::debug!(%error, "cannot receive");
                shard.driver.borrow_mut().handle_receive_error();
                *errors += 1;
                if *errors >= MAX_ERRORS {
                    return Turn::Failing(error);
                }
            }
        }
    }
    Turn::MoreToCome
}

/// Wakes the state machine when something is due, tells it what the wall clock says, and gives back memory.
pub(super) async fn keep_time(shard: Rc<Shard>) {
    let far = || shard.clock.instant(shard.now() + WALL_CLOCK_EVERY);
    let mut wall_clock = far();
    loop {
        let due = shard.driver.borrow_mut().arm().and_then(|due| shard.clock.instant(due));
        tokio::select! {
            () = wait(due) => {}
            () = wait(wall_clock) => {
                shard.driver.borrow_mut().handle_wall_clock(shard.now(), Clock::unix_time());
                wall_clock = far();
                if shard.driver.borrow_mut().should_trim_memory() {
                    memory::trim();
                }
                continue;
            }
            () = shard.sooner.notified() => continue,
        }
        shard.driver.borrow_mut().handle_timeout(shard.now());
    }
}

/// Shows that this shard turns, and looks at what only now and then needs a look.
pub(super) async fn beat(shard: Rc<Shard>, pulse: Pulse) {
    let mut beats = interval(Pulse::EVERY);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        pulse.beat(shard.now());
        shard.driver.borrow_mut().count_overruns();
    }
}

/// Waits until `instant`, or for ever.
async fn wait(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Takes what other shards say.
pub(super) async fn read_messages(shard: Rc<Shard>) {
    while let Some(message) = poll_fn(|context| shard.messages.borrow_mut().poll_recv(context)).await {
        shard.driver.borrow_mut().handle_message(shard.now(), &message);
    }
}
