//! What a shard is told by others, and how it is woken for that.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
        mpsc,
    },
};

use relay_server::{AcceptedCredentials, PeerPolicy, ShardMessage};

use super::poller::{MailboxWaker, Poller};
use crate::{addresses::AddressState, record::Recorder};

/// What a shard is told.
#[derive(Debug)]
pub(crate) enum Mail {
    /// A few of these come for each allocation that comes or goes, and for each channel between two clients of this relay. None may
    /// be lost. A shard that takes none is stuck, and the relay unhealthy.
    FromShard(ShardMessage),
    /// From now on record with this, or not at all.
    RecordWith(Option<Recorder>),
    /// The relay's addresses are these from now on.
    Addresses(Arc<AddressState>),
    /// From now on accept these credentials.
    Accept(Arc<AcceptedCredentials>),
    /// From now on these peers may be relayed to.
    PeerPolicy(Arc<PeerPolicy>),
    /// Tell accounting what has been relayed so far.
    TellAccounts,
    /// Take no new allocations.
    Drain,
    /// End.
    Stop,
    /// Panic, and again when allocations are to be ended.
    #[cfg(test)]
    FailForGood,
}

/// A shard's end of it.
#[derive(Debug)]
pub(crate) struct Mailbox {
    receiver: mpsc::Receiver<Mail>,
    flag: Arc<MailFlag>,
}

/// The others' end.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    sender: mpsc::Sender<Mail>,
    flag: Arc<MailFlag>,
}

/// Where a shard sees whether there is anything for it, without looking through it, and where it is woken.
#[derive(Debug)]
struct MailFlag {
    waker: MailboxWaker,
    /// What has been left since the shard has looked: [`NOTHING`], [`MAIL`], or [`MAIL`] and a wake-up. Waking takes a
    /// system call, and so does being woken.
    state: AtomicU8,
}

const NOTHING: u8 = 0;
const MAIL: u8 = 1;
const WOKEN: u8 = 2;

impl Mail {
    /// Whether it can wait until the shard turns anyhow, which it does once a second at least, to show that it is alive: a shard
    /// takes its mail before it handles what has arrived.
    pub(super) const fn can_wait(&self) -> bool {
        match self {
            Self::FromShard(message) => !message.is_urgent(),
            // It changes nothing but the answers to requests.
            Self::Accept(_) => true,
            Self::RecordWith(_)
            | Self::Addresses(_)
            | Self::PeerPolicy(_)
            | Self::TellAccounts
            | Self::Drain
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
    /// When the system has no file left.
    pub(crate) fn new(poller: &Poller) -> io::Result<(Sender, Self)> {
        let (sender, receiver) = mpsc::channel();
        let flag = Arc::new(MailFlag { waker: poller.waker()?, state: AtomicU8::new(NOTHING) });
        Ok((Sender { sender, flag: Arc::clone(&flag) }, Self { receiver, flag }))
    }

    /// Whether anything has come since the last call. If so, all of it is to be taken.
    pub(super) fn has_mail(&self) -> bool {
        // Most of the time there is nothing, and then the other threads may keep their copies of the state. Swapped, since whatever
        // was left before that is seen then, and whatever is left later wakes it again.
        self.flag.state.load(Ordering::Acquire) != NOTHING && self.flag.state.swap(NOTHING, Ordering::AcqRel) != NOTHING
    }

    /// Looks as if something had come: some may have been left unread.
    pub(super) fn look_again(&self) {
        self.flag.state.fetch_or(MAIL, Ordering::AcqRel);
    }

    /// The next of what has come, if any.
    pub(super) fn take(&self) -> Option<Mail> {
        // That all senders are gone happens in tests only: they hold each other's.
        self.receiver.try_recv().ok()
    }
}

impl Sender {
    /// Sends `mail`, and wakes the shard unless that can wait.
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
