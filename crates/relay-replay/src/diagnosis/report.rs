//! The result of a diagnosis.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use packet_trace::ReadError;
use serde::Serialize;

/// How each client of a capture fared. Serialized, it is the JSON of `firezone-relay explain`, which `docs/traces.md` describes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// How many clients there are.
    pub summary: Summary,
    /// What the capture holds.
    pub capture: CaptureReport,
    /// Every client, in the order of their first packets.
    pub clients: Vec<ClientReport>,
    /// The error that stopped the reading, if any. The report covers the capture before it.
    #[serde(skip)]
    pub error: Option<ReadError>,
}

/// How many clients there are, by [`Status`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// All of them.
    pub clients: u64,
    /// [`Status::Succeeded`].
    pub succeeded: u64,
    /// [`Status::Partly`].
    pub partly: u64,
    /// [`Status::Failed`].
    pub failed: u64,
    /// [`Status::Undecided`].
    pub undecided: u64,
}

/// How a client fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The server granted every request, at the latest when the client repeated it.
    Succeeded,
    /// It exchanged data with a peer, and something else failed, such as another peer.
    Partly,
    /// A request was refused, dropped or unanswered, and no later one made up for it.
    Failed,
    /// The capture ends before the server had time to answer.
    Undecided,
}

/// What a capture holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CaptureReport {
    /// All packets.
    pub packets: u64,
    /// When the first packet was captured, in seconds since the Unix epoch.
    pub start: f64,
    /// The time from the first packet to the latest one, in seconds.
    pub seconds: f64,
    /// `replay` if the relay's own state machine was driven by its recording, `inspection` if packets were only decoded.
    pub mode: &'static str,
    /// Packets that are no UDP datagrams, or that cannot be read, by kind.
    pub skipped: Vec<Skipped>,
    /// Connectivity checks of ICE between peers, which concern no server.
    pub connectivity_checks: u64,
    /// STUN messages of which the capture holds only a part.
    pub cut_messages: u64,
    /// Packets that the capturing program could not keep, as far as the file says.
    pub missing_packets: u64,
    /// Remarks on the capture, as sentences.
    pub notes: Vec<String>,
    /// The error that stopped the reading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Packets that were skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// What they are.
    pub what: String,
    /// How many there are.
    pub packets: u64,
}

/// One client: a UDP socket and the server that it uses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClientReport {
    /// The client's address, as it was captured.
    pub client: SocketAddr,
    /// The server's address that it sent to.
    pub server: SocketAddr,
    /// How it fared.
    pub status: Status,
    /// Its last username, if it sent one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The server's SOFTWARE, if it said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
    /// When its first packet was captured, in seconds since the first packet of the capture.
    pub seconds: f64,
    /// What became of its requests, by method.
    pub requests: BTreeMap<String, Tally>,
    /// The relayed transport addresses that it was given.
    pub relayed: BTreeSet<SocketAddr>,
    /// Packets with application data from the client, without those that the server dropped.
    pub packets_to_peers: u64,
    /// Packets with application data to the client.
    pub packets_from_peers: u64,
    /// Failures that lasted, ordered by their first packet.
    pub problems: Vec<Problem>,
    /// The number of further problems, which are not listed.
    pub more_problems: u64,
}

/// The outcomes of the requests with one method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Requests, each counted once.
    pub requests: u64,
    /// Retransmissions.
    pub copies: u64,
    /// Success responses.
    pub succeeded: u64,
    /// Answers that ask for credentials (401 to a request without any) or bring a fresh nonce (438): the ordinary course.
    pub challenged: u64,
    /// Other error responses.
    pub refused: u64,
    /// Requests without an answer.
    pub unanswered: u64,
}

/// Something that failed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Problem {
    /// How it failed.
    pub kind: ProblemKind,
    /// What failed: a method such as `Allocate`, or `Send indication`, `ChannelData`, `data from the peer`.
    pub what: String,
    /// The peers concerned, without those that the client reached later. The port is 0 if the client named none.
    pub peers: BTreeSet<SocketAddr>,
    /// The ERROR-CODE, of [`ProblemKind::Refused`] and [`ProblemKind::Challenged`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// The reason phrase that came with the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often. Of [`ProblemKind::Unanswered`]: how often it was sent.
    pub count: u64,
    /// The number of the packet that shows it first, counted from 1 as Wireshark does.
    pub packet: u64,
    /// When that was, in seconds since the first packet of the capture.
    pub seconds: f64,
    /// When it was seen last.
    pub until: f64,
    /// What happened, in a few words.
    pub title: String,
    /// Why, and what it means.
    pub text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The section of the standard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<&'static str>,
}

/// How something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// A request was answered with an error.
    Refused,
    /// The server asked for credentials or for a fresh nonce, and the client did not ask again.
    Challenged,
    /// A request had no answer.
    Unanswered,
    /// A request was answered, and the client kept repeating it.
    AnswerLost,
    /// The answer came from another address than the server's.
    AnsweredElsewhere,
    /// The server dropped application data.
    Dropped,
    /// The server dropped application data because of a bandwidth limit.
    OverLimit,
    /// The client sent application data through an allocation or a channel that had expired.
    Expired,
    /// The server lost the allocation.
    Ended,
    /// The server forwarded an ICMP error about a peer.
    Icmp,
}
