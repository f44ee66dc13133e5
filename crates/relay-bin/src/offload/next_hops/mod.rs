//! Passes changes of routes and neighbours to the XDP program at once, and keeps the neighbours fresh that it sends to.
//!
//! The program notices changes by itself a little later. So if this thread is late or dead, nothing stays wrong for long.

mod rtnetlink;
mod watch;

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context;
use mio::{Events, Interest, Poll, Token, Waker, unix::SourceFd};
use relay_ebpf::{Neighbour, XdpProgram};
use relay_server::Timestamp;

use self::{
    rtnetlink::{Change, Changes, Requests},
    watch::{TICK, Watch},
};
use crate::clock::Clock;

const CHANGED: Token = Token(0);
const STOP: Token = Token(1);

/// The least time between two invalidations of the next hops, however often routes change.
const FORGET_EVERY: Duration = Duration::from_millis(10);

/// How many changes to read before acting on them.
const CHANGES_AT_ONCE: usize = 1_000;

/// The thread. Ends on drop.
#[derive(Debug)]
pub(super) struct NextHops {
    stop: Waker,
    thread: Option<JoinHandle<()>>,
}

impl NextHops {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the process has no thread or file descriptor left, or the system no netlink.
    pub(super) fn start(program: &Arc<XdpProgram>, clock: Clock) -> anyhow::Result<Self> {
        let cannot = "cannot listen to changes of routes and neighbours (netlink)";
        let poll = Poll::new().context("cannot make an event queue")?;
        let stop = Waker::new(poll.registry(), STOP).context("cannot make an event queue")?;
        let changes = Changes::open().context(cannot)?;
        let file = changes.as_fd().as_raw_fd();
        poll.registry().register(&mut SourceFd(&file), CHANGED, Interest::READABLE).context(cannot)?;
        let follower = Follower {
            program: Arc::clone(program),
            changes,
            requests: Requests::open().context(cannot)?,
            watch: Watch::default(),
            clock,
            must_forget: false,
            has_other_interfaces: false,
            forgot_at: None,
        };
        let thread = thread::Builder::new()
            .name("xdp-next-hops".to_owned())
            .spawn(move || follower.run(poll))
            .context("cannot start the thread that follows routes and neighbours")?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for NextHops {
    fn drop(&mut self) {
        // This fails only if the thread is awake already.
        let _ = self.stop.wake();
        if let Some(thread) = self.thread.take() {
            // The panic hook has logged a panic.
            let _ = thread.join();
        }
    }
}

struct Follower {
    program: Arc<XdpProgram>,
    changes: Changes,
    requests: Requests,
    watch: Watch,
    clock: Clock,
    /// Whether the program must forget its next hops.
    must_forget: bool,
    /// Whether interfaces were added or removed since the program last got their list.
    has_other_interfaces: bool,
    forgot_at: Option<Timestamp>,
}

impl Follower {
    fn run(mut self, mut poll: Poll) {
        let mut events = Events::with_capacity(4);
        let mut tick_at = self.clock.now() + TICK;
        let mut has_more = false;
        loop {
            let now = self.clock.now();
            let mut wait = tick_at.saturating_duration_since(now);
            if self.must_forget {
                wait = wait.min(self.may_forget_at().saturating_duration_since(now));
            }
            if has_more {
                wait = Duration::ZERO;
            }
            match poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return end(&error),
                _ => {}
            }
            if events.iter().any(|event| event.token() == STOP) {
                return;
            }
            match self.read_changes() {
                Ok(more) => has_more = more,
                Err(error) => return end(&error),
            }
            let now = self.clock.now();
            if now >= tick_at {
                tick_at = now + TICK;
                self.tick();
            }
            if self.must_forget && now >= self.may_forget_at() {
                self.forget(now);
            }
        }
    }

    fn may_forget_at(&self) -> Timestamp {
        self.forgot_at.map_or(Timestamp::ZERO, |forgot_at| forgot_at + FORGET_EVERY)
    }

    /// Reads changes. Returns whether there may be more.
    fn read_changes(&mut self) -> io::Result<bool> {
        for _ in 0..CHANGES_AT_ONCE {
            match self.changes.next()? {
                None => return Ok(false),
                Some(Change::Other) => self.must_forget = true,
                Some(Change::Interface | Change::Unknown) => {
                    self.must_forget = true;
                    self.has_other_interfaces = true;
                }
                Some(Change::Neighbour(ip, interface, entry)) => {
                    let neighbour = Neighbour::new(ip, interface);
                    let known = self.watch.note(&neighbour, entry);
                    self.must_forget |= known.unwrap_or_else(|| self.program.has_neighbour(&neighbour));
                }
            }
        }
        Ok(true)
    }

    fn tick(&mut self) {
        let Self { program, watch, requests, .. } = self;
        let forget = |neighbour: &Neighbour| {
            if let Err(error) = program.forget_neighbour(neighbour) {
                tracing::debug!(%error, "cannot forget a neighbour that is not in use any more");
            }
        };
        let ticked = program.neighbours().and_then(|noted| watch.tick(&noted, requests, forget));
        match ticked {
            Ok(has_changed) => self.must_forget |= has_changed,
            // A removed interface takes its neighbours with it.
            Err(error) => tracing::debug!(%error, "cannot look after the neighbours that the kernel sends to"),
        }
    }

    fn forget(&mut self, now: Timestamp) {
        self.must_forget = false;
        if std::mem::take(&mut self.has_other_interfaces)
            && let Err(error) = self.program.follow_interfaces()
        {
            tracing::debug!(%error, "cannot tell the XDP program which interfaces there are");
        }
        self.forgot_at = Some(now);
        if let Err(error) = self.program.forget_next_hops() {
            tracing::debug!(%error, "cannot have the XDP program look next hops up anew; it does so by itself, if later");
        }
    }
}

fn end(error: &io::Error) {
    tracing::warn!(
        %error,
        "cannot listen to changes of routes and neighbours any more: the kernel path follows them within 0.64 s instead of at once, and \
         neighbours that change their Ethernet addresses without an announcement later"
    );
}
