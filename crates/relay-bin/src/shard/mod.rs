//! One shard: one thread with a runtime of its own, one state machine, one task per socket.
//!
//! The tasks share everything through `Rc` and `RefCell`, borrowed only between two `await`s, so a relayed packet takes no
//! lock and crosses no thread.

mod address_map;
mod driver;
mod live_channels;
mod outbound;
mod relay_table;
mod reply_limit;
mod sockets;
mod tasks;

use std::{
    cell::{OnceCell, RefCell},
    rc::Rc,
    sync::Arc,
};

use anyhow::Context;
use relay_server::{AllocationPort, PortRange, ReservationToken, ReservedPort, Server, Timestamp};
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{Notify, mpsc, oneshot, watch},
};
use turn_auth::{AuthSecret, UnixTime};

use self::{driver::Driver, reply_limit::ReplyLimit, sockets::Sockets};
use crate::{
    clock::Clock,
    drain::Phase,
    health::Pulse,
    listen::Listening,
    offload::Offload,
    record::{Machine, Recorder},
    socket::ReceiveBuffers,
    stats::Published,
};

pub(crate) use self::{address_map::AddressMap, sockets::RelayBinding};

/// What shards tell each other, a few words for each allocation that comes or goes. None may be lost: they are about what is
/// counted and lent. A shard that takes none is stuck, and the relay unhealthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// The username allocated elsewhere at this time: what it allocated here before that ends.
    UsernameMoved(Arc<str>, Timestamp),
    /// The username allocated there, which counts against its limit everywhere.
    Allocated(Arc<str>),
    /// An allocation of the username ended there.
    Ended(Arc<str>),
    /// A port was reserved there, and its client may come here for it.
    PortReserved(ReservedPort),
    /// The port of that reservation was allocated there.
    ReservationTaken(ReservationToken),
    /// The allocation of a port of this shard ended there.
    PortReturned(AllocationPort),
}

/// What a shard is made of. It can be sent to the shard's thread.
pub(crate) struct Setup {
    pub(crate) server: relay_server::Config,
    /// The allocation ports of all shards.
    pub(crate) all_ports: PortRange,
    pub(crate) secret: AuthSecret,
    pub(crate) seed: [u8; 32],
    pub(crate) clock: Clock,
    /// Bound to the listening port.
    pub(crate) listeners: Vec<Listening>,
    /// Where the sockets of allocations are bound.
    pub(crate) binding: RelayBinding,
    pub(crate) addresses: AddressMap,
    pub(crate) offload: Box<dyn Offload + Send>,
    pub(crate) published: Published,
    pub(crate) messages: mpsc::UnboundedReceiver<Message>,
    pub(crate) others: Vec<mpsc::UnboundedSender<Message>>,
    /// When it starts, on both clocks.
    pub(crate) started: (Timestamp, UnixTime),
    pub(crate) recorder: Option<Recorder>,
    /// Told once the shard serves.
    pub(crate) ready: oneshot::Sender<()>,
    /// Shows that the shard turns.
    pub(crate) pulse: Pulse,
    /// Says when the shard is to drain, and when to end.
    pub(crate) phase: watch::Receiver<Phase>,
}

/// What a shard's tasks share.
struct Shard {
    driver: RefCell<Driver<Sockets, Box<dyn Offload + Send>>>,
    buffers: RefCell<ReceiveBuffers>,
    messages: RefCell<mpsc::UnboundedReceiver<Message>>,
    clock: Clock,
    /// Told when a time-out became earlier than the one that the timer waits for.
    sooner: Rc<Notify>,
}

impl Shard {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Takes what other shards have said until now.
    fn take_messages(&self) {
        while let Ok(message) = self.messages.borrow_mut().try_recv() {
            self.driver.borrow_mut().handle_message(self.now(), &message);
        }
    }
}

/// Runs a shard on the calling thread until it is told to stop.
///
/// # Errors
///
/// When it cannot start.
pub(crate) fn run(setup: Setup) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(LocalOptions::default())
        .context("cannot start a runtime")?;
    runtime.block_on(serve(setup))
}

async fn serve(setup: Setup) -> anyhow::Result<()> {
    let Setup { server, all_ports, secret, seed, clock, listeners, binding, addresses, .. } = setup;
    let Setup { offload, published, messages, others, started, recorder, ready, pulse, mut phase, .. } = setup;
    let replies = ReplyLimit::new(&seed);
    let server = Server::new(server, secret, seed, started.0, started.1)?.with_ports_of_all_shards(all_ports);
    let server = Machine::new(server, recorder);
    let sooner = Rc::new(Notify::new());
    // The readers of relay sockets need the shard, which owns what starts them.
    let this = Rc::new(OnceCell::new());
    let spawn_reader = tasks::spawn_relay_reader(Rc::clone(&this));
    let sockets = Sockets::new(listeners, binding, all_ports, addresses, spawn_reader)
        .context("cannot use a listening socket")?;
    let listeners = sockets.listeners();
    let shard = Rc::new(Shard {
        driver: RefCell::new(Driver::new(server, sockets, offload, replies, published, others, Rc::clone(&sooner))),
        buffers: RefCell::new(ReceiveBuffers::new()),
        messages: RefCell::new(messages),
        clock,
        sooner,
    });
    // It was empty until now.
    let _ = this.set(Rc::downgrade(&shard));
    for listener in listeners {
        tokio::task::spawn_local(tasks::read_listener(Rc::clone(&shard), listener));
    }
    tokio::task::spawn_local(tasks::keep_time(Rc::clone(&shard)));
    tokio::task::spawn_local(tasks::beat(Rc::clone(&shard), pulse));
    tokio::task::spawn_local(tasks::read_messages(Rc::clone(&shard)));
    // Nobody waits for it any more if another shard failed meanwhile.
    let _ = ready.send(());
    // An error means that whoever could stop this shard is gone.
    if phase.wait_for(|phase| *phase >= Phase::Draining).await.is_ok() {
        shard.driver.borrow_mut().handle_drain(shard.now());
        let _ = phase.wait_for(|phase| *phase == Phase::Stopping).await;
    }
    shard.driver.borrow_mut().publish();
    Ok(())
}
