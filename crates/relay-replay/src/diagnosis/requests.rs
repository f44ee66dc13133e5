//! Requests that wait for an answer, and recently answered ones.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
};

use stun_msg::Method;

use super::failure::Moment;
use crate::{Outcome, Row};

/// How long a request is kept, in nanoseconds. Clients give up 39.5 s after they first sent it
/// ([RFC 8489, section 6.2.1](https://www.rfc-editor.org/rfc/rfc8489#section-6.2.1)).
const KEPT: u64 = 60_000_000_000;
/// How many requests are kept. The oldest make room.
const MAX_REQUESTS: usize = 65_536;
/// A capture at several interfaces may hold a packet twice. A copy within this many nanoseconds is the same packet and no
/// retransmission.
const SAME_PACKET: u64 = 10_000_000;
const LEAST: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

/// Client, transaction ID and server. In this order, a range query finds requests with one ID to any server.
pub(super) type Key = (SocketAddr, [u8; 12], SocketAddr);

#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    /// Its row, and the index of that.
    pub(super) row: Row,
    pub(super) index: u32,
    /// The captured part of the message. Empty after the first answer.
    pub(super) message: Vec<u8>,
    pub(super) peers: Vec<SocketAddr>,
    /// Whether it is a Refresh with a lifetime of zero.
    pub(super) is_deletion: bool,
    pub(super) first: Moment,
    /// The time of the last transmission, in nanoseconds since the Unix epoch.
    pub(super) last_at: u64,
    /// The number of transmissions.
    pub(super) times: u32,
    /// The number of transmissions after the first answer.
    pub(super) times_answered: u32,
    /// The time of the first answer, in nanoseconds since the Unix epoch.
    pub(super) answered_at: Option<u64>,
    /// The decision of the replayed relay.
    pub(super) outcome: Option<Outcome>,
}

#[derive(Debug, Default)]
pub(super) struct Requests {
    list: BTreeMap<Key, Request>,
    by_age: VecDeque<(u64, Key)>,
}

impl Requests {
    /// Adds a request. Returns `None` if the packet was captured twice.
    pub(super) fn add(&mut self, key: Key, request: Request) -> Option<Sent> {
        let Some(known) = self.list.get_mut(&key) else {
            self.by_age.push_back((request.first.at, key));
            self.list.insert(key, request);
            return Some(Sent::New);
        };
        let at = request.first.at;
        if at < known.last_at.saturating_add(SAME_PACKET) {
            return None;
        }
        known.last_at = at;
        known.times += 1;
        if known.answered_at.is_some() {
            known.times_answered += 1;
        }
        Some(Sent::Again)
    }

    pub(super) fn get_mut(&mut self, key: &Key) -> Option<&mut Request> {
        self.list.get_mut(key)
    }

    pub(super) fn remove(&mut self, key: &Key) {
        self.list.remove(key);
    }

    /// The server of a request with this transaction ID, the one with this address if it was asked.
    pub(super) fn server(&self, client: SocketAddr, transaction: [u8; 12], server: SocketAddr) -> Option<SocketAddr> {
        if self.list.contains_key(&(client, transaction, server)) {
            return Some(server);
        }
        let (found, _) = self.list.range((client, transaction, LEAST)..).next()?;
        ((found.0, found.1) == (client, transaction)).then_some(found.2)
    }

    /// The request in row `index`.
    pub(super) fn in_row(&mut self, index: u32) -> Option<&mut Request> {
        self.list.values_mut().find(|request| request.index == index)
    }

    /// Removes and returns a request that is too old to be answered at `now`, in nanoseconds since the Unix epoch, or the oldest one of too
    /// many.
    pub(super) fn pop_old(&mut self, now: u64) -> Option<(Key, Request)> {
        loop {
            let &(at, key) = self.by_age.front()?;
            if at.saturating_add(KEPT) > now && self.list.len() <= MAX_REQUESTS {
                return None;
            }
            self.by_age.pop_front();
            if let Some(request) = self.list.remove(&key) {
                return Some((key, request));
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Removes and returns the oldest request.
    pub(super) fn pop(&mut self) -> Option<(Key, Request)> {
        loop {
            let (_, key) = self.by_age.pop_front()?;
            if let Some(request) = self.list.remove(&key) {
                return Some((key, request));
            }
        }
    }
}

/// Whether a packet is the first transmission of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    New,
    Again,
}
