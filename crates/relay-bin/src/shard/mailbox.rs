//! Messages to a shard from other threads, and how they wake it.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
        mpsc,
    },
    time::Duration,
};

use relay_server::{AcceptedCredentials, PeerPolicy, ShardMessage};

use super::{
    handover::HandoverStep,
    poller::{MailboxWaker, Poller},
};
use crate::{addresses::AddressState, offload::NewOffload, record::Recorder};

/// A message to a shard.
#[derive(Debug)]
pub(crate) enum Mail {
    /// A message of another shard. A few are sent for each allocation that begins or ends, and for each channel between two clients
    /// of this relay. None may be lost. A shard that does not take its mail is stuck, and the relay is unhealthy.
    FromShard(ShardMessage),
    /// Record with this recorder, or stop recording.
    RecordWith(Option<Recorder>),
    /// The relay's new addresses.
    Addresses(Arc<AddressState>),
    /// The credentials to accept from now on.
    Accept(Arc<AcceptedCredentials>),
    /// The new rules about peers.
    PeerPolicy(Arc<PeerPolicy>),
    /// Send accounting what has been relayed so far.
    TellAccounts,
    /// Refuse new allocations.
    Drain,
    /// From now on this forwards flows.
    Offload(NewOffload),
    /// A step of a handover to another process.
    Handover(HandoverStep),
    /// Stop.
    Stop,
    /// Panic, and again when allocations are to be ended.
    #[cfg(test)]
    FailForGood,
}

/// The receiving end, owned by a shard.
#[derive(Debug)]
pub(crate) struct Mailbox {
    receiver: mpsc::Receiver<Mail>,
    flag: Arc<MailFlag>,
}

/// The sending end, for all other threads.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    sender: mpsc::Sender<Mail>,
    flag: Arc<MailFlag>,
}

/// Tells a shard with one atomic read whether there is mail, and wakes it if it waits.
#[derive(Debug)]
struct MailFlag {
    waker: MailboxWaker,
    /// What was sent since the shard last looked: [`NOTHING`], [`MAIL`], or [`MAIL`] with [`WOKEN`]. A wake-up costs a system call
    /// on each side.
    state: AtomicU8,
}

const NOTHING: u8 = 0;
const MAIL: u8 = 1;
const WOKEN: u8 = 2;

impl Mail {
    /// Whether the message can wait for the shard's next turn, which comes within a second, rather than wake it. A shard takes its
    /// mail before it handles datagrams.
    pub(super) const fn can_wait(&self) -> bool {
        match self {
            Self::FromShard(message) => !message.is_urgent(),
            // New credentials change only the responses to requests.
            Self::Accept(_) => true,
            Self::RecordWith(_)
            | Self::Addresses(_)
            | Self::PeerPolicy(_)
            | Self::TellAccounts
            | Self::Drain
            | Self::Offload(_)
            | Self::Handover(_)
            | Self::Stop => false,
            #[cfg(test)]
            Self::FailForGood => false,
        }
    }
}

impl Mailbox {
    /// A mailbox for the thread that waits at `poller`.
    ///
    /// # Errors
    ///
    /// When the process has no file descriptor left.
    pub(crate) fn new(poller: &Poller) -> io::Result<(Sender, Self)> {
        let (sender, receiver) = mpsc::channel();
        let flag = Arc::new(MailFlag { waker: poller.waker()?, state: AtomicU8::new(NOTHING) });
        Ok((Sender { sender, flag: Arc::clone(&flag) }, Self { receiver, flag }))
    }

    /// Whether mail has arrived since the last call. If so, the caller must take all of it.
    pub(super) fn has_mail(&self) -> bool {
        // Usually there is none; the plain load then leaves the cache line shared with the other threads. The swap comes before the
        // mail is taken: what was sent earlier is seen then, and what is sent later sets the flag again.
        self.flag.state.load(Ordering::Acquire) != NOTHING && self.flag.state.swap(NOTHING, Ordering::AcqRel) != NOTHING
    }

    /// Makes the next [`Self::has_mail`] return true: after a panic, some mail may be unread.
    pub(super) fn look_again(&self) {
        self.flag.state.fetch_or(MAIL, Ordering::AcqRel);
    }

    /// The next of what has come, or comes within `limit`.
    pub(super) fn wait(&self, limit: Duration) -> Option<Mail> {
        self.receiver.recv_timeout(limit).ok()
    }

    /// The next message, if any.
    pub(super) fn take(&self) -> Option<Mail> {
        // All senders are gone only in tests: the shards hold each other's.
        self.receiver.try_recv().ok()
    }
}

impl Sender {
    /// Sends `mail`, and wakes the shard unless the message can wait.
    pub(crate) fn send(&self, mail: Mail) {
        let can_wait = mail.can_wait();
        // An error means that the shard has ended, and with it the relay.
        let _ = self.sender.send(mail);
        let state = if can_wait { MAIL } else { MAIL | WOKEN };
        if self.flag.state.fetch_or(state, Ordering::AcqRel) & WOKEN == 0 && !can_wait {
            self.flag.waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use relay_server::Timestamp;

    use super::*;

    const NOW: Timestamp = Timestamp::ZERO;

    fn is_woken(poller: &mut Poller) -> bool {
        poller.wait_until(NOW, NOW).unwrap().next().is_some()
    }

    fn take_all(mailbox: &Mailbox) -> Vec<Mail> {
        if !mailbox.has_mail() {
            return Vec::new();
        }
        std::iter::from_fn(|| mailbox.take()).collect()
    }

    #[test]
    fn a_shard_is_woken_once_until_it_has_looked() {
        let mut poller = Poller::new().unwrap();
        let (sender, mailbox) = Mailbox::new(&poller).unwrap();
        for _ in 0..2 {
            sender.send(Mail::Drain);
            assert!(is_woken(&mut poller));
            sender.send(Mail::Stop);
            assert!(!is_woken(&mut poller));
            assert!(matches!(take_all(&mailbox)[..], [Mail::Drain, Mail::Stop]));
            assert!(!mailbox.has_mail());
        }
    }

    #[test]
    fn what_can_wait_wakes_nobody_and_arrives() {
        let mut poller = Poller::new().unwrap();
        let (sender, mailbox) = Mailbox::new(&poller).unwrap();
        let user_id = Arc::<str>::from("user");
        sender.send(Mail::FromShard(ShardMessage::Allocated { user_id: Arc::clone(&user_id) }));
        assert!(!is_woken(&mut poller));
        sender.send(Mail::FromShard(ShardMessage::UsernameMoved { user_id, created_at: NOW }));
        assert!(is_woken(&mut poller));
        assert_eq!(take_all(&mailbox).len(), 2);
    }

    #[test]
    fn nothing_is_left_unseen_by_a_shard_that_looks_when_it_is_woken() {
        const MAILS: usize = 20_000;
        let mut poller = Poller::new().unwrap();
        let (sender, mailbox) = Mailbox::new(&poller).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let sender = sender.clone();
                scope.spawn(move || (0..MAILS).for_each(|_| sender.send(Mail::Drain)));
            }
            let mut taken = 0;
            while taken < 2 * MAILS {
                let woken = poller.wait_until(NOW + Duration::from_secs(60), NOW).unwrap().count();
                assert_eq!(woken, 1, "there is mail, and nobody wakes the shard");
                taken += take_all(&mailbox).len();
            }
        });
    }
}
