//! A failure that lasts until the client succeeds.

use std::{collections::BTreeSet, fmt, net::SocketAddr};

use stun_msg::Method;

use super::report::{Problem, ProblemKind};
use crate::Explanation;

/// How many peers of one failure are named.
const MAX_PEERS: usize = 64;

/// A place in the capture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// The packet's number, counted from 1.
    pub(super) packet: u64,
    /// In nanoseconds since the Unix epoch.
    pub(super) at: u64,
}

/// The operation that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Request(Method),
    SendIndication,
    ChannelData,
    PeerData,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(method) => method.fmt(f),
            Self::SendIndication => f.write_str("Send indication"),
            Self::ChannelData => f.write_str("ChannelData"),
            Self::PeerData => f.write_str("data from the peer"),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) kind: ProblemKind,
    pub(super) what: What,
    /// The peers concerned that the client has not reached since.
    pub(super) peers: BTreeSet<SocketAddr>,
    pub(super) code: Option<u16>,
    pub(super) reason: String,
    pub(super) count: u64,
    pub(super) first: Moment,
    /// In nanoseconds since the Unix epoch.
    pub(super) last_at: u64,
    pub(super) explanation: Explanation,
}

impl Failure {
    pub(super) fn new(kind: ProblemKind, what: What, at: Moment, explanation: Explanation) -> Self {
        Self {
            kind,
            what,
            peers: BTreeSet::new(),
            code: None,
            reason: String::new(),
            count: 1,
            first: at,
            last_at: at.at,
            explanation,
        }
    }

    pub(super) fn about(mut self, peers: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.peers = peers.into_iter().take(MAX_PEERS).collect();
        self
    }

    pub(super) fn with_code(mut self, code: u16, reason: String) -> Self {
        self.code = Some(code);
        self.reason = reason;
        self
    }

    /// Whether `other` repeats this failure.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.kind, self.what, self.code, &self.peers, &self.explanation.title)
            == (other.kind, other.what, other.code, &other.peers, &other.explanation.title)
    }

    /// Adds `other`, a repetition of this failure.
    pub(super) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.last_at = self.last_at.max(other.last_at);
    }

    /// Records that the server granted a request of the same client. Returns whether the failure persists.
    pub(super) fn persists_after(&mut self, granted: Method, peers: &[SocketAddr]) -> bool {
        let is_data =
            matches!(self.kind, ProblemKind::Dropped | ProblemKind::Expired) && !matches!(self.what, What::Request(_));
        let is_about = |methods: &[Method]| methods.iter().any(|method| self.what == What::Request(*method));
        match granted {
            Method::ALLOCATE => {
                let had_no_allocation = is_data && self.peers.is_empty();
                !had_no_allocation && !is_about(&[Method::ALLOCATE, Method::REFRESH])
            }
            Method::CREATE_PERMISSION if is_data || is_about(&[Method::CREATE_PERMISSION]) => self.persists_for(peers),
            Method::CHANNEL_BIND if is_data && self.what == What::ChannelData && self.peers.is_empty() => false,
            Method::CHANNEL_BIND if is_data || is_about(&[Method::CREATE_PERMISSION, Method::CHANNEL_BIND]) => {
                self.persists_for(peers)
            }
            method => !is_about(&[method]),
        }
    }

    /// Records that the client reached peers with these IP addresses. Returns whether the failure persists.
    pub(super) fn persists_for(&mut self, reached: &[SocketAddr]) -> bool {
        if self.peers.is_empty() {
            return true;
        }
        self.peers.retain(|peer| reached.iter().all(|reached| reached.ip() != peer.ip()));
        !self.peers.is_empty()
    }

    /// The entry in the report. Times count from `start`, in nanoseconds since the Unix epoch.
    pub(super) fn to_problem(&self, start: u64) -> Problem {
        let Explanation { title, text, advice, link, .. } = self.explanation.clone();
        Problem {
            kind: self.kind,
            what: self.what.to_string(),
            peers: self.peers.clone(),
            code: self.code,
            reason: Some(self.reason.clone()).filter(|reason| !reason.is_empty()),
            count: self.count,
            packet: self.first.packet,
            seconds: seconds_since(start, self.first.at),
            until: seconds_since(start, self.last_at),
            title,
            text,
            advice,
            link,
        }
    }
}

/// The time from `start` to `at`, both in nanoseconds, in seconds to the microsecond. Captures may go back in time a little.
pub(super) fn seconds_since(start: u64, at: u64) -> f64 {
    let micros = (i128::from(at) - i128::from(start)) / 1_000;
    micros as f64 / 1e6
}
