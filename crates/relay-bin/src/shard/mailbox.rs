//! What a shard is told by others, and how it is woken for that.

use std::{
    io,
    sync::{Arc, mpsc},
};

use relay_server::{AllocationPort, Crossing, ReservationToken, ReservedPort, Timestamp};

use super::poller::{Bell, Poller};
use crate::record::Recorder;

/// What shards tell each other, a few words for each allocation that comes or goes, and for each channel between two clients of
/// this relay. None may be lost: they are about what is counted, lent and permitted. A shard that takes none is stuck, and the
/// relay unhealthy.
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
    /// A channel there is bound to an allocation that may be one of this shard: its data goes straight to the channel's client.
    CrossingOpened(Crossing),
    /// It is not any more.
    CrossingClosed(Crossing),
}

/// What a shard is told.
#[derive(Debug)]
pub(crate) enum Mail {
    FromShard(Message),
    /// From now on record with this, or not at all.
    RecordWith(Option<Recorder>),
    /// Take no new allocations.
    Drain,
    /// End.
    Stop,
}

/// A shard's end of it.
#[derive(Debug)]
pub(crate) struct Mailbox {
    receiver: mpsc::Receiver<Mail>,
}

/// The others' end.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    sender: mpsc::Sender<Mail>,
    bell: Arc<Bell>,
}

impl Mailbox {
    /// A mailbox for the thread that waits at `poller`.
    ///
    /// # Errors
    ///
    /// When the system has no file left.
    pub(crate) fn new(poller: &Poller) -> io::Result<(Sender, Self)> {
        let (sender, receiver) = mpsc::channel();
        Ok((Sender { sender, bell: Arc::new(poller.bell()?) }, Self { receiver }))
    }

    /// The next of what has come, if any.
    pub(super) fn take(&self) -> Option<Mail> {
        // That all senders are gone happens in tests only: they hold each other's.
        self.receiver.try_recv().ok()
    }
}

impl Sender {
    /// Sends `mail` and wakes the shard.
    pub(crate) fn send(&self, mail: Mail) {
        // An error means that the shard has ended, and with it the relay.
        let _ = self.sender.send(mail);
        self.bell.ring();
    }
}
