//! The state of one client.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    net::{IpAddr, SocketAddr},
};

use packet_trace::IcmpError;
use stun_msg::Method;

use super::{
    cause,
    failure::{Failure, What, seconds_since},
    report::{ClientReport, ProblemKind, Status, Tally},
};
use crate::Explanation;

/// How many kinds of failures of one client are kept.
const MAX_FAILURES: usize = 32;
/// How many relayed transport addresses, lapsed channels and granted requests of one client are kept.
const MAX_KEPT: usize = 256;
/// How long a client may take to repeat a request with credentials, in nanoseconds.
const CHALLENGE_TIME: u64 = 1_000_000_000;
/// This many consecutive challenges are a failure.
const MAX_CHALLENGES: u64 = 5;

#[derive(Debug)]
pub(super) struct Client {
    pub(super) address: SocketAddr,
    pub(super) server: SocketAddr,
    /// When its first packet was captured, in nanoseconds since the Unix epoch.
    first_at: u64,
    pub(super) username: String,
    pub(super) software: String,
    tallies: BTreeMap<Method, Tally>,
    /// When the server last granted a request, by method and peer. For DATA: when data last came from this peer.
    granted_at: BTreeMap<(Method, Option<IpAddr>), u64>,
    /// When the client last sent a new request, by method.
    asked_at: BTreeMap<Method, u64>,
    /// When the client last sent anything but a retransmission.
    pub(super) acted_at: u64,
    /// The number of its live allocation in the session.
    pub(super) allocation: Option<u32>,
    relayed: BTreeSet<SocketAddr>,
    /// The latest ICMP error about a packet from the client to the server, and its time.
    pub(super) unreachable: Option<(u64, IcmpError)>,
    /// Set from the expiry of an allocation to the next allocation.
    pub(super) expired: Option<Explanation>,
    /// Channels whose bindings have expired, with their peers.
    pub(super) lapsed: BTreeMap<u16, (Option<SocketAddr>, Explanation)>,
    pub(super) to_peers: u64,
    pub(super) from_peers: u64,
    failures: Vec<Failure>,
    more_failures: u64,
    /// Challenges that the client has not followed up successfully, by method.
    challenges: BTreeMap<Method, Failure>,
    /// Whether the capture ends too early to decide about a request.
    is_waiting: bool,
}

impl Client {
    pub(super) fn new(address: SocketAddr, server: SocketAddr, at: u64) -> Self {
        Self {
            address,
            server,
            first_at: at,
            username: String::new(),
            software: String::new(),
            tallies: BTreeMap::new(),
            granted_at: BTreeMap::new(),
            asked_at: BTreeMap::new(),
            acted_at: 0,
            allocation: None,
            relayed: BTreeSet::new(),
            unreachable: None,
            expired: None,
            lapsed: BTreeMap::new(),
            to_peers: 0,
            from_peers: 0,
            failures: Vec::new(),
            more_failures: 0,
            challenges: BTreeMap::new(),
            is_waiting: false,
        }
    }

    /// The client sent a new request.
    pub(super) fn asked(&mut self, method: Method, at: u64) {
        self.tally(method).requests += 1;
        self.asked_at.insert(method, at);
        self.acted_at = at;
    }

    /// The client retransmitted a request.
    pub(super) fn asked_again(&mut self, method: Method) {
        self.tally(method).copies += 1;
    }

    /// The server granted a request.
    pub(super) fn granted(&mut self, method: Method, peers: &[SocketAddr], at: u64) {
        self.tally(method).succeeded += 1;
        self.challenges.remove(&method);
        subjects(peers).into_iter().for_each(|subject| self.note_grant(method, subject, at));
        self.failures.retain_mut(|failure| failure.persists_after(method, peers));
    }

    /// The server asked for credentials, or sent a fresh nonce.
    pub(super) fn challenged(&mut self, method: Method, challenge: Failure) {
        self.tally(method).challenged += 1;
        match self.challenges.entry(method) {
            Entry::Occupied(mut before) if before.get().is_same(&challenge) => before.get_mut().merge(&challenge),
            Entry::Occupied(mut before) => drop(before.insert(challenge)),
            Entry::Vacant(entry) => drop(entry.insert(challenge)),
        }
    }

    /// The server refused a request. A refused deletion is no failure: the allocation ends by itself.
    pub(super) fn refused(&mut self, method: Method, is_deletion: bool, refusal: Failure) {
        self.tally(method).refused += 1;
        self.challenges.remove(&method);
        if !is_deletion {
            self.fail(refusal);
        }
    }

    /// The capture holds no answer to a request.
    pub(super) fn unanswered(&mut self, method: Method, is_deletion: bool, failure: Failure) {
        self.tally(method).unanswered += 1;
        let peers: Vec<_> = failure.peers.iter().copied().collect();
        let was_granted_since = subjects(&peers).iter().all(|subject| {
            // Data from a peer shows that its permission and channel exist.
            let by = [Some(method), subject.map(|_| Method::DATA)];
            let latest = by.into_iter().flatten().filter_map(|method| self.granted_at.get(&(method, *subject))).max();
            latest.is_some_and(|at| *at > failure.first.at)
        });
        if !is_deletion && !was_granted_since {
            self.challenges.remove(&method);
            self.fail(failure);
        }
    }

    /// The capture ended before the server had time to answer a request.
    pub(super) const fn is_waiting(&mut self) {
        self.is_waiting = true;
    }

    pub(super) fn answer_lost(&mut self, method: Method, failure: Failure) {
        self.challenges.remove(&method);
        self.fail(failure);
    }

    pub(super) fn allocated(&mut self, allocation: u32, relayed: &[SocketAddr]) {
        self.allocation = Some(allocation);
        self.expired = None;
        self.lapsed.clear();
        let room = MAX_KEPT.saturating_sub(self.relayed.len());
        self.relayed.extend(relayed.iter().take(room));
    }

    pub(super) fn channel_lapsed(&mut self, channel: u16, peer: Option<SocketAddr>, explanation: Explanation) {
        if self.lapsed.len() < MAX_KEPT {
            self.lapsed.insert(channel, (peer, explanation));
        }
    }

    /// The server relayed data between the client and `peer`.
    pub(super) fn reached(&mut self, peer: SocketAddr, from_client: bool, at: u64) {
        if !from_client {
            self.note_grant(Method::DATA, Some(peer.ip()), at);
        }
        self.failures.retain_mut(|failure| match (failure.kind, failure.what) {
            (_, What::Request(_)) | (ProblemKind::OverLimit, _) => true,
            (ProblemKind::Icmp, _) => from_client || !failure.peers.contains(&peer),
            (_, What::PeerData) => from_client || failure.persists_for(&[peer]),
            _ => !from_client || failure.persists_for(&[peer]),
        });
    }

    pub(super) fn fail(&mut self, failure: Failure) {
        if let Some(known) = self.failures.iter_mut().find(|known| known.is_same(&failure)) {
            known.merge(&failure);
        } else if self.failures.len() < MAX_FAILURES {
            self.failures.push(failure);
        } else {
            self.more_failures += 1;
        }
    }

    /// The capture has ended, at `now` in nanoseconds since the Unix epoch.
    pub(super) fn end(&mut self, now: u64) {
        for (method, mut challenge) in std::mem::take(&mut self.challenges) {
            let has_followed = self.asked_at.get(&method).is_some_and(|at| *at > challenge.last_at);
            if challenge.count < MAX_CHALLENGES && has_followed {
                continue;
            }
            if challenge.count < MAX_CHALLENGES && now.saturating_sub(challenge.last_at) < CHALLENGE_TIME {
                self.is_waiting = true;
                continue;
            }
            if challenge.code == Some(401) {
                challenge.explanation = cause::challenge_unanswered();
            }
            self.fail(challenge);
        }
        // Scanners send to relayed transport addresses. Their drops are no failure of a client that its peers reach.
        if self.from_peers > 0 {
            let is_stranger =
                |failure: &Failure| (failure.kind, failure.what) == (ProblemKind::Dropped, What::PeerData);
            self.failures.retain(|failure| !is_stranger(failure));
        }
        self.failures.sort_by_key(|failure| failure.first.packet);
    }

    fn note_grant(&mut self, method: Method, subject: Option<IpAddr>, at: u64) {
        if self.granted_at.len() < MAX_KEPT || self.granted_at.contains_key(&(method, subject)) {
            self.granted_at.insert((method, subject), at);
        }
    }

    fn tally(&mut self, method: Method) -> &mut Tally {
        self.tallies.entry(method).or_default()
    }

    fn has_succeeded(&self, method: Method) -> bool {
        self.tallies.get(&method).is_some_and(|tally| tally.succeeded > 0)
    }

    /// Whether the server only redirected the client (ALTERNATE-SERVER).
    pub(super) fn was_redirected(&self) -> bool {
        !self.failures.is_empty() && self.failures.iter().all(|failure| failure.code == Some(300))
    }

    /// Removes all failures, after another server served the client.
    pub(super) fn forgive(&mut self) {
        self.failures.clear();
    }

    pub(super) fn has_allocated(&self) -> bool {
        self.has_succeeded(Method::ALLOCATE)
    }

    fn status(&self) -> Status {
        if self.failures.is_empty() {
            let had_anything =
                self.from_peers > 0 || self.to_peers > 0 || self.tallies.values().any(|tally| tally.succeeded > 0);
            return if self.is_waiting && !had_anything { Status::Undecided } else { Status::Succeeded };
        }
        let is_relayed = self.to_peers > 0 && self.from_peers > 0;
        let is_minor = |failure: &Failure| match (failure.kind, failure.what) {
            (ProblemKind::Refused | ProblemKind::Unanswered, What::Request(Method::BINDING)) => self.has_allocated(),
            (
                ProblemKind::Refused | ProblemKind::Unanswered | ProblemKind::Challenged,
                What::Request(Method::CREATE_PERMISSION | Method::CHANNEL_BIND),
            )
            | (ProblemKind::Dropped | ProblemKind::OverLimit | ProblemKind::Icmp, _) => is_relayed,
            // The channel has expired, and the allocation lives on.
            (ProblemKind::Expired, What::ChannelData) => is_relayed && self.expired.is_none(),
            _ => false,
        };
        if self.failures.iter().all(is_minor) { Status::Partly } else { Status::Failed }
    }

    /// The report on this client. Times count from `start`, in nanoseconds since the Unix epoch.
    pub(super) fn report(self, start: u64) -> ClientReport {
        let is_said = |text: &String| !text.is_empty();
        ClientReport {
            client: self.address,
            server: self.server,
            status: self.status(),
            seconds: seconds_since(start, self.first_at),
            requests: self.tallies.iter().map(|(method, tally)| (method.to_string(), *tally)).collect(),
            packets_to_peers: self.to_peers,
            packets_from_peers: self.from_peers,
            problems: self.failures.iter().map(|failure| failure.to_problem(start)).collect(),
            more_problems: self.more_failures,
            username: Some(self.username).filter(is_said),
            software: Some(self.software).filter(is_said),
            relayed: self.relayed,
        }
    }
}

/// The keys of a request: one for each peer, or `None` if it names no peer.
fn subjects(peers: &[SocketAddr]) -> Vec<Option<IpAddr>> {
    if peers.is_empty() { vec![None] } else { peers.iter().map(|peer| Some(peer.ip())).collect() }
}
