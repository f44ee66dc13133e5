//! Watches the machine's addresses and publishes changes.

use std::{io, sync::Arc, thread, time::Duration};

use anyhow::Context as _;
use relay_server::AddressStatus;
use tokio::sync::watch;

use super::{AddressState, AddressTracker, AddressWatch, FamilyState, ThisHost, monitor::AddressMonitor};
use crate::option_names::{self, BEHIND_NAT};

/// How often to read the addresses if the kernel does not report changes.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often to read the addresses although the kernel reports changes.
const LOOK_ANYHOW: Duration = Duration::from_secs(5);

/// How long to wait after a change for related ones. Also the least time between two looks.
const SETTLE: Duration = Duration::from_millis(100);

/// Starts a thread that reads the addresses after each change and publishes them within a second. It ends when nobody watches.
/// Workers do not do this themselves: they never block, and listing thousands of addresses takes a while.
///
/// # Errors
///
/// When the system has no thread left.
pub(crate) fn follow(now: AddressState, tracker: AddressTracker) -> anyhow::Result<AddressWatch> {
    let (state, watch) = watch::channel(Arc::new(now));
    thread::Builder::new()
        .name("addresses".to_owned())
        .spawn(move || run(tracker, &state))
        .context("cannot start the thread that follows addresses")?;
    Ok(watch)
}

fn run(mut tracker: AddressTracker, state: &watch::Sender<Arc<AddressState>>) {
    let mut monitor = match AddressMonitor::open(LOOK_ANYHOW) {
        Ok(monitor) => Some(monitor),
        Err(error) => {
            tracing::info!(%error, "the kernel does not tell of new addresses (no netlink?): looking every {LOOK_EVERY:?}");
            None
        }
    };
    tell(None, &state.borrow());
    if !ThisHost::look().can_list() {
        tracing::warn!(
            "the system does not tell which addresses this machine has: clients may relay to the relay itself at those that no \
             option names; let it use AF_NETLINK sockets, or read /proc/self/net"
        );
    }
    while !state.is_closed() {
        update(tracker.look(&ThisHost::look()), state);
        let Some(subscribed) = &monitor else {
            thread::sleep(LOOK_EVERY);
            continue;
        };
        if let Err(error) = wait(subscribed) {
            tracing::info!(%error, "the kernel tells of new addresses no more: looking every {LOOK_EVERY:?}");
            monitor = None;
        }
    }
}

fn wait(monitor: &AddressMonitor) -> io::Result<()> {
    if monitor.wait()? {
        thread::sleep(SETTLE);
        monitor.clear()?;
    }
    Ok(())
}

fn update(now: AddressState, state: &watch::Sender<Arc<AddressState>>) {
    state.send_if_modified(|state| {
        if **state == now {
            return false;
        }
        tell(Some(state), &now);
        *state = Arc::new(now);
        true
    });
}

/// Logs changes that matter to the relay. The first time, logs what is wrong.
fn tell(before: Option<&AddressState>, now: &AddressState) {
    let families = |state: &AddressState| [state.v4, state.v6];
    let befores = before.map_or([None, None], families);
    for (before, now) in befores.into_iter().zip(families(now)) {
        let Some(now) = now else { continue };
        let before = before.map_or(AddressStatus::Present, |before| before.status);
        if before != now.status {
            tell_status(&now);
        }
    }
    if now.has_outgrown_loopback && !before.is_some_and(|before| before.has_outgrown_loopback) {
        tracing::warn!(
            "this machine has a network now, and the relay, which found none when it started, serves this machine alone: it is \
             not ready until it is started again"
        );
    }
    if let Some(before) = before
        && before.own != now.own
    {
        tracing::info!(addresses = ?now.own, "this machine's addresses have changed");
    }
}

fn tell_status(family: &FamilyState) {
    let FamilyState { public, relay, status, .. } = family;
    let name = option_names::public_name(*public);
    match status {
        AddressStatus::Present => tracing::info!(%public, "the public address is there: allocations are granted"),
        AddressStatus::Missing if relay.is_unspecified() || relay == public => tracing::warn!(
            %public,
            "{name} is no address of this machine now, so new allocations are refused with 508 until it is. If a NAT has that \
             address, say {}=yes; `ip address` lists this machine's",
            BEHIND_NAT
        ),
        AddressStatus::Missing => tracing::warn!(
            %public,
            %relay,
            "this machine has lost the address that the relay is bound to: new allocations are refused with 508 until it is back"
        ),
        AddressStatus::NoFamily => {
            let version = if public.is_ipv4() { 4 } else { 6 };
            tracing::warn!(
                %public,
                "{name} is set, but this machine has no IPv{version} address at all (is IPv{version} switched off?): who asks for \
                 IPv{version} is answered 440 until it has one"
            );
        }
    }
}
