//! Keeps data that overtook the request it was sent after.
//!
//! Requests and data wait in separate queues ([`crate::listen`]), and many clients send data right behind the request that permits
//! it, without waiting for the response. So data that its client may not send yet is kept until all requests are read that were
//! queued when the data was handled. Only then is it dropped.

use std::collections::VecDeque;

use relay_server::Family;

use super::ingress::{Datagram, Ingress, ReceiveBuffers};

/// The most datagrams that are kept, in all and of one client. Only clients with an allocation have any.
const MOST: usize = 256;
const MOST_OF_ONE_CLIENT: usize = 16;
/// The most bytes that are kept.
const MOST_BYTES: usize = 512 * 1024;

/// An upper bound for the requests in a queue: 8 MiB are requested for it, which the kernel doubles, and each datagram takes at
/// least 512 bytes with its bookkeeping.
const QUEUE: u64 = 16 * 1024 * 1024 / 512;

/// How many requests of one family have been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    /// The number of requests.
    read: u64,
    /// How often the queue was found empty.
    emptied: u64,
}

impl Progress {
    /// Whether all requests have been read that were queued at `then`.
    const fn is_past(self, then: Self) -> bool {
        self.emptied > then.emptied || self.read >= then.read + QUEUE
    }
}

/// A kept datagram. Its range is one of [`Early::bytes`].
#[derive(Clone, Debug)]
struct Kept {
    datagram: Datagram,
    since: Progress,
}

/// The kept datagrams.
#[derive(Debug, Default)]
pub(super) struct Early {
    kept: Vec<Kept>,
    bytes: Vec<u8>,
    v4: Progress,
    v6: Progress,
    /// Whether a request was granted since the last try.
    is_worth_a_try: bool,
    /// How many datagrams this round has yet to try.
    left: usize,
    /// For each datagram being tried, the progress when it was first kept.
    tried: VecDeque<Progress>,
}

impl Early {
    /// Whether no datagram is kept.
    pub(super) const fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How many datagrams are kept.
    pub(super) const fn len(&self) -> usize {
        self.kept.len()
    }

    /// Keeps `datagram`, whose bytes are in `buffers`. `since` is the answer of [`Self::next_tried`] if the datagram was kept
    /// before. Returns false if there is no room, or all requests before it have been read.
    pub(super) fn keep(&mut self, datagram: &Datagram, buffers: &ReceiveBuffers, since: Option<Since>) -> bool {
        let now = self.progress(family(datagram));
        let since = since.map_or(now, |since| since.0);
        let of_client = self.kept.iter().filter(|kept| kept.datagram.from == datagram.from).count();
        if now.is_past(since)
            || self.kept.len() >= MOST
            || of_client >= MOST_OF_ONE_CLIENT
            || self.bytes.len() + datagram.range.len() > MOST_BYTES
        {
            return false;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&buffers[datagram.range.clone()]);
        let datagram = Datagram { range: start..self.bytes.len(), ..datagram.clone() };
        self.kept.push(Kept { datagram, since });
        true
    }

    /// Records that a request was granted, so that kept data is tried again.
    pub(super) const fn note_grant(&mut self) {
        self.is_worth_a_try = true;
    }

    /// Records that `count` requests of `family` were read, and whether the queue is empty.
    pub(super) const fn note_requests(&mut self, family: Family, count: u64, is_empty: bool) {
        let progress = match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        };
        progress.read += count;
        progress.emptied += is_empty as u64;
    }

    const fn progress(&self, family: Family) -> Progress {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }

    /// Moves datagrams that are to be tried again into the empty `buffers`, as many as fit. Returns whether there are any. Each
    /// datagram is tried once before any is tried a second time.
    pub(super) fn take(&mut self, buffers: &mut ReceiveBuffers) -> bool {
        let is_due = |kept: &Kept| self.progress(family(&kept.datagram)).is_past(kept.since);
        if self.left == 0 {
            if !self.is_worth_a_try && !self.kept.iter().any(is_due) {
                return false;
            }
            self.is_worth_a_try = false;
            self.left = self.kept.len();
        }
        self.tried.clear();
        let (kept, bytes) = (std::mem::take(&mut self.kept), std::mem::take(&mut self.bytes));
        let mut rest = kept.into_iter();
        while self.left > 0 && !buffers.is_full() {
            let Some(kept) = rest.next() else { break };
            buffers.restore(&kept.datagram, &bytes[kept.datagram.range.clone()]);
            self.tried.push_back(kept.since);
            self.left -= 1;
        }
        for kept in rest {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(&bytes[kept.datagram.range.clone()]);
            let datagram = Datagram { range: start..self.bytes.len(), ..kept.datagram };
            self.kept.push(Kept { datagram, since: kept.since });
        }
        !buffers.is_empty()
    }

    /// The [`Since`] of the next datagram that [`Self::take`] has moved, in the same order.
    pub(super) fn next_tried(&mut self) -> Option<Since> {
        self.tried.pop_front().map(Since)
    }
}

/// The requests that had been read when a datagram was first kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since(Progress);

/// The address family of the client that sent `datagram`.
const fn family(datagram: &Datagram) -> Family {
    debug_assert!(matches!(datagram.tag, Ingress::Listener(_)));
    if datagram.from.is_ipv4() { Family::V4 } else { Family::V6 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::ingress::tests::holding;

    fn buffers(count: usize) -> ReceiveBuffers {
        let from = "192.0.2.1:1".parse().unwrap();
        let to = "192.0.2.9".parse().unwrap();
        holding(Ingress::Listener(None), &vec![(from, to, &b"data"[..]); count])
    }

    fn datagrams(buffers: &ReceiveBuffers) -> Vec<Datagram> {
        let mut cursor = udp_batch::Cursor::default();
        std::iter::from_fn(|| buffers.next_datagram(&mut cursor)).collect()
    }

    #[test]
    fn data_is_kept_until_all_requests_before_it_are_read() {
        let received = buffers(1);
        let [datagram] = &datagrams(&received)[..] else { panic!("one") };
        for (count, is_empty, is_over) in
            [(0, false, false), (QUEUE - 1, false, false), (QUEUE, false, true), (0, true, true)]
        {
            let mut early = Early::default();
            assert!(early.keep(datagram, &received, None));
            // Requests of the other family do not matter.
            early.note_requests(Family::V6, QUEUE, true);
            early.note_requests(Family::V4, count, is_empty);
            early.note_grant();
            let mut again = ReceiveBuffers::new();
            assert!(early.take(&mut again));
            let [restored] = &datagrams(&again)[..] else { panic!("one") };
            assert_eq!((&again[restored.range.clone()], restored.from), (&b"data"[..], datagram.from));
            let since = early.next_tried();
            assert!(since.is_some());
            assert_eq!(early.keep(restored, &again, since), !is_over);
        }
    }

    #[test]
    fn nothing_is_tried_before_something_has_changed() {
        let received = buffers(1);
        let mut early = Early::default();
        assert!(early.keep(&datagrams(&received)[0], &received, None));
        let mut again = ReceiveBuffers::new();
        assert!(!early.take(&mut again));
        early.note_requests(Family::V4, 0, true);
        assert!(early.take(&mut again));
    }

    #[test]
    fn more_than_fit_are_tried_once_each() {
        let mut early = Early::default();
        for client in 0..10_u16 {
            let (from, to) = (([192, 0, 2, 1], 1 + client).into(), "192.0.2.9".parse().unwrap());
            let received = holding(Ingress::Listener(None), &[(from, to, &b"data"[..]); 10]);
            assert!(datagrams(&received).iter().all(|datagram| early.keep(datagram, &received, None)));
        }
        early.note_grant();
        let mut tried = 0;
        let mut again = ReceiveBuffers::new();
        while early.take(&mut again) {
            for datagram in datagrams(&again) {
                let since = early.next_tried();
                assert!(early.keep(&datagram, &again, since), "it is kept for the next grant");
                tried += 1;
            }
            again.clear();
        }
        assert_eq!(tried, 100);
    }

    #[test]
    fn one_client_cannot_take_all_the_room() {
        let received = buffers(MOST_OF_ONE_CLIENT + 1);
        let mut early = Early::default();
        let kept: Vec<_> = datagrams(&received).iter().map(|datagram| early.keep(datagram, &received, None)).collect();
        assert_eq!(kept, [vec![true; MOST_OF_ONE_CLIENT], vec![false]].concat());
    }
}
