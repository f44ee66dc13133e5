//! Finds out which sockets are readable, and reads them.

use std::{io, os::fd::BorrowedFd};

use relay_server::{AllocationId, Family, Timestamp};
use udp_batch::{Received, Remaining, SendError};

use super::Sockets;
use crate::{
    listen::Role,
    shard::{
        handover::RelaySocket,
        inbound::{Inbound, Receipt},
        ingress::{Ingress, ReceiveBuffers},
        poller::Source,
    },
};

/// How often to read one socket before the others get their turn.
const RECEIVES_PER_TURN: usize = 4;

/// The same for a request queue: anybody can fill it, its datagrams cost more, and data of allocations comes first.
const REQUEST_RECEIVES_PER_TURN: usize = 1;

/// The number of errors in a row that make a socket count as failing.
const MAX_ERRORS: u8 = 16;

impl Sockets {
    /// Whether `source` waits for its turn.
    fn is_ready(&mut self, source: Source) -> Option<&mut bool> {
        match source {
            Source::Mailbox => None,
            Source::Listener(index) => {
                self.listeners.get_mut(usize::from(index)).map(|listener| &mut listener.is_ready)
            }
            Source::Relay(port, family) => self.relays.get_mut(port, family).map(|relay| &mut relay.is_ready),
        }
    }
}

impl Inbound for Sockets {
    fn listeners(&self) -> impl Iterator<Item = Source> + use<> {
        (0..).map(Source::Listener).take(self.listeners.len())
    }

    fn get_ready(&mut self, source: Source) -> bool {
        self.is_ready(source).is_some_and(|is_ready| !std::mem::replace(is_ready, true))
    }

    fn take_turn(&mut self, source: Source) {
        if let Some(is_ready) = self.is_ready(source) {
            *is_ready = false;
        }
    }

    fn receive(&mut self, source: Source, buffers: &mut ReceiveBuffers) -> Receipt {
        let (result, errors) = match source {
            Source::Mailbox => return Receipt::Empty,
            Source::Listener(index) => {
                let Some(listener) = self.listeners.get_mut(usize::from(index)) else { return Receipt::Empty };
                (listener.socket.receive(Ingress::Listener(listener.address), buffers), &mut listener.errors)
            }
            Source::Relay(port, family) => {
                // The socket may have been closed since it became ready.
                let Some(relay) = self.relays.get_mut(port, family) else { return Receipt::Empty };
                let result = relay.socket.receive(Ingress::Relay(port), buffers);
                if let Err(error) = &result
                    && relay.socket.may_be_about_another(error)
                {
                    // The error is about a sent datagram, and the error queue has it, too. Received datagrams may still be
                    // readable.
                    return Receipt::MoreToCome;
                }
                (result, &mut relay.errors)
            }
        };
        match result {
            Ok(Received { remaining, dropped }) => {
                *errors = 0;
                self.overruns += u64::from(dropped);
                if remaining == Remaining::Empty { Receipt::Empty } else { Receipt::MoreToCome }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Receipt::Empty,
            Err(error) => {
                tracing::debug!(%error, ?source, "cannot receive");
                *errors += 1;
                if *errors < MAX_ERRORS {
                    return Receipt::Error;
                }
                *errors = 0;
                Receipt::Failing(error)
            }
        }
    }

    fn take_errors(&self, source: Source, each: impl FnMut(SendError)) {
        if let Source::Relay(port, family) = source
            && let Some(relay) = self.relays.get(port, family)
        {
            relay.socket.take_errors(each);
        }
    }

    fn receives_per_turn(&self, source: Source) -> usize {
        match source {
            Source::Listener(index)
                if self.listeners.get(usize::from(index)).is_some_and(|listener| listener.role == Role::Requests) =>
            {
                REQUEST_RECEIVES_PER_TURN
            }
            _ => RECEIVES_PER_TURN,
        }
    }

    fn requests_of(&self, source: Source) -> Option<Family> {
        let Source::Listener(index) = source else { return None };
        let listener = self.listeners.get(usize::from(index))?;
        matches!(listener.role, Role::Requests | Role::Everything).then_some(listener.family)
    }

    fn allocation(&self, source: Source) -> Option<AllocationId> {
        match source {
            Source::Relay(port, family) => self.relays.get(port, family).map(|relay| relay.id),
            _ => None,
        }
    }

    fn start_again(&mut self) {
        for (port, family) in self.relays.take_all() {
            self.addresses.held().remove(port, family);
        }
        self.outbound.start_again();
        for listener in &mut self.listeners {
            (listener.errors, listener.is_ready) = (0, false);
        }
    }

    fn tell_send_failures(&mut self, now: Timestamp) {
        self.outbound.tell_send_failures(now);
    }

    fn hand_over(&self) -> Vec<(RelaySocket, BorrowedFd<'_>)> {
        self.relay_sockets()
    }

    fn listener_drops(&self) -> Vec<u32> {
        self.listeners.iter().map(|listener| listener.socket.drops()).collect()
    }

    fn take_overruns(&mut self) -> u64 {
        std::mem::replace(&mut self.overruns, 0)
    }
}
