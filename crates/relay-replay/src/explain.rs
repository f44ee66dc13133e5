//! What the relay made of a packet, in plain words.

use std::net::SocketAddr;

use packet_trace::{LinkType, Packet};
use relay_server::{DropReason, Family, Rejection, RemovalReason};
use serde::Serialize;
use turn_auth::AuthError;

use crate::{Change, Difference, Field, Kind, Outcome, Row, book::Book, dissect, explain_code, time, view::words};

/// A paragraph about a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// How it should strike the reader.
    pub tone: Tone,
    /// What happened, in a few words.
    pub title: String,
    /// Why, and what it means.
    pub text: String,
    /// What to do about it, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The section that asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<&'static str>,
}

/// How an explanation should strike the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// The ordinary course.
    Info,
    /// Something was achieved.
    Good,
    /// Something does not work.
    Problem,
    /// The replay and the recording disagree.
    Difference,
}

impl Explanation {
    pub(crate) fn new(tone: Tone, title: impl Into<String>, text: impl Into<String>) -> Self {
        Self { tone, title: title.into(), text: text.into(), advice: None, link: None }
    }

    pub(crate) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    pub(crate) const fn link(mut self, link: &'static str) -> Self {
        self.link = Some(link);
        self
    }
}

/// Takes apart the packet of `row`.
pub(crate) fn dissect(row: &Row, frame: &[u8]) -> Vec<Field> {
    if row.kind == Kind::Internal {
        Vec::new()
    } else {
        dissect::dissect_packet(&packet(row, frame), row.kind == Kind::Data)
    }
}

fn packet<'a>(row: &Row, frame: &'a [u8]) -> Packet<'a> {
    Packet {
        unix_nanos: row.unix_nanos,
        interface: row.shard,
        direction: None,
        dropped: 0,
        link: LinkType(row.link),
        frame,
        file_offset: row.file_offset,
        original_len: row.original,
        comment: None,
    }
}

/// The paragraphs about row number `index`.
pub(crate) fn row(book: &Book, index: u32, frame: &[u8], related: &[u8]) -> Vec<Explanation> {
    let Some(row) = book.row(index) else { return Vec::new() };
    let other = book.row(row.related);
    // Replayed, what became of a request is noted on the request; inspected, on the response.
    let is_response = matches!(row.kind, Kind::Success | Kind::Error);
    let request = match (row.kind, other) {
        (Kind::Request, _) => payload(row, frame),
        (_, Some(other)) if is_response => payload(other, related),
        _ => &[],
    };
    let mut paragraphs = Vec::new();
    let own = book.changes_of(index);
    let others = other.filter(|_| row.kind == Kind::Request || is_response).map(|_| book.changes_of(row.related));
    let has_outcome = own.iter().any(|change| matches!(change, Change::Responded { .. }));
    let borrowed = if has_outcome { &[][..] } else { others.unwrap_or_default() };
    for change in own.iter().chain(borrowed) {
        paragraphs.extend(explain_change(change, row, request));
    }
    for Difference { text, .. } in book.differences.iter().filter(|difference| difference.row == index) {
        paragraphs.push(Explanation::new(Tone::Difference, "The replay differs from the recording", text.clone()));
    }
    paragraphs
}

fn payload<'a>(row: &Row, frame: &'a [u8]) -> &'a [u8] {
    let start = usize::from(row.payload_at);
    let end = frame.len().min(start + usize::from(row.payload_len));
    frame.get(start..end).unwrap_or_default()
}

fn name(allocation: u32) -> String {
    format!("A{}", allocation + 1)
}

fn explain_change(change: &Change, row: &Row, request: &[u8]) -> Option<Explanation> {
    let info = |title: String, text: String| Some(Explanation::new(Tone::Info, title, text));
    let good = |title: String, text: String| Some(Explanation::new(Tone::Good, title, text));
    match change {
        Change::Created(new) => {
            let relayed: Vec<_> = new.relayed.iter().map(SocketAddr::to_string).collect();
            good(
                format!("Allocation {} was created", name(new.number)),
                format!(
                    "Peers reach the client {} at {} for the next {}.",
                    new.client,
                    relayed.join(" and "),
                    time::span(u64::from(new.lifetime))
                ),
            )
        }
        Change::Refreshed { allocation, lifetime, family } => good(
            format!("Allocation {} was refreshed", name(*allocation)),
            format!(
                "{} now ends in {} unless it is refreshed again.",
                family.map_or("It", address_of),
                time::span(u64::from(*lifetime))
            ),
        ),
        Change::FamilyRemoved { allocation, family, reason } => info(
            format!("Allocation {} lost an address", name(*allocation)),
            format!("{} ended ({}); the other one lives on.", address_of(*family), words(reason)),
        ),
        Change::Removed { allocation, reason } => Some(removed(*allocation, *reason)),
        Change::ChannelBound { allocation, channel, peer, renewal } => good(
            format!("Channel {channel:#06x} of {} was {}", name(*allocation), if *renewal { "renewed" } else { "bound" }),
            format!("For 10 minutes, {channel:#06x} stands for the peer {peer}: data goes both ways behind a 4-byte header."),
        ),
        Change::ChannelExpired { allocation, channel } => Some(
            Explanation::new(
                Tone::Problem,
                format!("Channel {channel:#06x} of {} expired", name(*allocation)),
                "Nobody bound it again within 10 minutes. Data on it is dropped, in both directions; for 5 more minutes number and peer stay reserved for each other.",
            )
            .advice("A client must send another ChannelBind for every channel in use before 10 minutes are over.")
            .link("https://www.rfc-editor.org/rfc/rfc8656#section-12"),
        ),
        Change::ChannelReleased { allocation, channel } => info(
            format!("Channel {channel:#06x} of {} is free again", name(*allocation)),
            "Its number may now be bound to another peer, and its peer to another number.".to_owned(),
        ),
        Change::Responded { method, outcome } => outcome_of(*method, *outcome, row, request),
        Change::Dropped { reason } => Some(dropped(*reason)),
        Change::Relayed { bytes, from_client, channel, .. } => info(
            format!("{bytes} bytes were relayed to the {}", if *from_client { "peer" } else { "client" }),
            if *from_client {
                format!("The relay took off the header of channel {channel:#06x} and sent the rest from the relayed transport address.")
            } else {
                format!("The relay put the header of channel {channel:#06x} in front and sent it to the client.")
            },
        ),
        Change::Draining => info(
            "The relay drains".to_owned(),
            "It was told to stop: new allocations are refused, so that clients go elsewhere, and existing ones live on.".to_owned(),
        ),
    }
}

const fn address_of(family: Family) -> &'static str {
    match family {
        Family::V4 => "Its IPv4 address",
        Family::V6 => "Its IPv6 address",
    }
}

fn removed(allocation: u32, reason: RemovalReason) -> Explanation {
    let allocation = name(allocation);
    match reason {
        RemovalReason::Expired => Explanation::new(
            Tone::Problem,
            format!("Allocation {allocation} expired"),
            "Its lifetime passed without a Refresh. All its channels are gone, and its port is closed.",
        )
        .advice("A client must refresh its allocation in good time; one that has gone away shows exactly this.")
        .link("https://www.rfc-editor.org/rfc/rfc8656#section-8"),
        RemovalReason::Deleted => Explanation::new(
            Tone::Info,
            format!("Allocation {allocation} was deleted"),
            "Its client asked for a lifetime of zero. All its channels are gone, and its port is closed.",
        )
        .link("https://www.rfc-editor.org/rfc/rfc8656#section-8"),
        RemovalReason::Replaced => Explanation::new(
            Tone::Info,
            format!("Allocation {allocation} was replaced"),
            "Another allocation took its place: its username allocated again from another address, as happens when a NAT changes the client's port.",
        ),
        RemovalReason::RelayFailed => Explanation::new(
            Tone::Problem,
            format!("Allocation {allocation} failed"),
            "The relay's socket for it failed.",
        ),
        other => Explanation::new(Tone::Info, format!("Allocation {allocation} ended"), words(&other)),
    }
}

fn outcome_of(method: u16, outcome: Outcome, row: &Row, request: &[u8]) -> Option<Explanation> {
    let method = stun_msg::Method::new(method);
    match outcome {
        Outcome::Success if method == stun_msg::Method::BINDING => Some(Explanation::new(
            Tone::Info,
            "The client learned its address",
            "The relay answered with the address and port that the request came from: how the world sees the client behind its NAT.",
        )),
        Outcome::Success if method == stun_msg::Method::CREATE_PERMISSION => Some(Explanation::new(
            Tone::Info,
            "The permission was granted",
            "Data still needs a channel: this relay relays through channels only.",
        )),
        Outcome::Success => None,
        Outcome::Challenged => Some(explain_code::challenge()),
        Outcome::Rejected(rejection) => Some(rejected(rejection, row, request)),
        Outcome::Refused(code) => Some(explain_code::explain(code, row.unix_nanos / 1_000_000_000, request)),
    }
}

fn rejected(rejection: Rejection, row: &Row, request: &[u8]) -> Explanation {
    let code = rejection.error_code().number();
    let problem = |title: &str, text: String| Explanation::new(Tone::Problem, format!("{code}: {title}"), text);
    match rejection {
        Rejection::NotAuthenticated(AuthError::Expired { seconds_ago }) => explain_code::expired(seconds_ago),
        Rejection::NotAuthenticated(AuthError::WrongPassword) => problem(
            "the password is wrong",
            "MESSAGE-INTEGRITY was not made with a password that one of this relay's secrets yields for this username, in a scheme that it accepts, or that this user has.".to_owned(),
        )
        .advice("Compare the secret of whoever issues the credentials with the relay's. After a relay's restart with a new secret, all old credentials are void. A message that was changed on its way shows the same.")
        .link("https://www.rfc-editor.org/rfc/rfc8489#section-9.2.4"),
        Rejection::NotAuthenticated(AuthError::StaleNonce) => explain_code::stale_nonce(),
        Rejection::NotAuthenticated(AuthError::WrongRealm) => problem(
            "the realm is not this relay's",
            "The client signed for another realm than the one in the relay's challenge.".to_owned(),
        )
        .advice("A client must take the REALM of the 401 response. Perhaps it talks to another server than it thinks."),
        Rejection::NotAuthenticated(AuthError::Username(error)) => problem(
            "the username is none of this relay's",
            format!("{error}. Usernames here read \"expiry in Unix seconds, colon, user id\", or are those of static users."),
        )
        .advice("Use the username exactly as the issuer of credentials gave it."),
        Rejection::NotAuthenticated(error) => problem("not authenticated", format!("{error}.")),
        Rejection::ChannelInUse => problem(
            "the channel number is taken",
            "The number is bound to another peer, or was until lately: it stays reserved for 5 minutes after the binding lapsed, so that late data cannot reach the wrong peer.".to_owned(),
        )
        .advice("Use another number for the new peer, or wait. The old peer may have the number back at any time.")
        .link("https://www.rfc-editor.org/rfc/rfc8656#section-12.2"),
        Rejection::PeerInUse => problem(
            "the peer has a channel already",
            "A peer has one channel of an allocation, and this one is bound to another number, or was until lately: it stays reserved for 5 minutes after the binding lapsed.".to_owned(),
        )
        .advice("Use the number that the peer has.")
        .link("https://www.rfc-editor.org/rfc/rfc8656#section-12.2"),
        other => {
            let mut explanation = explain_code::explain(code, row.unix_nanos / 1_000_000_000, request);
            explanation.text = format!("The relay says: {other}. {}", explanation.text);
            explanation
        }
    }
}

fn dropped(reason: DropReason) -> Explanation {
    let (text, advice) = match reason {
        DropReason::NotStunNorChannelData => (
            "Its first bytes are those of no protocol that a TURN relay speaks.",
            Some("Perhaps a scanner, or a client that sends its data without having bound a channel."),
        ),
        DropReason::MalformedStun => (
            "It looks like STUN, but its lengths contradict each other or its FINGERPRINT is wrong.",
            Some("Something on the way may change packets; compare what the client sent with what arrived."),
        ),
        DropReason::TruncatedChannelData => (
            "Its length field promises more than arrived.",
            Some("Look for a middlebox or an MTU that cuts packets short."),
        ),
        DropReason::NoAllocation => (
            "It is application data from an address and port without an allocation.",
            Some(
                "The allocation expired, was made from another port (a NAT may have changed it), or is on another relay. The client must allocate anew.",
            ),
        ),
        DropReason::NoChannel => (
            "The allocation has no such channel: it was never bound, or its binding expired.",
            Some("Bind the channel, and renew the binding before 10 minutes are over."),
        ),
        DropReason::UnknownPort => ("No allocation has the port that it was sent to.", None),
        DropReason::UnknownPeer => (
            "The allocation has neither a channel to the peer that sent it nor a permission for its address: who has not been invited is not let in.",
            Some(
                "The client must bind a channel to exactly this address and port or, where indications are on, ask for a permission (CreatePermission) for its address. A peer behind a NAT may appear with another port than expected.",
            ),
        ),
        DropReason::UnexpectedResponse => ("Responses go from a server to a client, not the other way.", None),
        DropReason::UnknownMethod => ("The relay does not know the method.", None),
        DropReason::SendIndication => (
            "It is a Send indication, and indications are switched off: this relay relays through channels only.",
            Some("Browsers, libnice and libjuice cannot connect without them: switch them on (--indications on)."),
        ),
        DropReason::NoPermission => (
            "The allocation has no permission for the peer that it is for: none was asked for, or it ended after 5 minutes.",
            Some("The client must send CreatePermission for the peer's address, and again before 5 minutes are over."),
        ),
        DropReason::IncompleteSend => {
            ("It is a Send indication without a valid XOR-PEER-ADDRESS, or without DATA.", None)
        }
        DropReason::UnknownAttribute => (
            "It is a Send indication with an attribute that the relay must honour and cannot, such as DONT-FRAGMENT.",
            None,
        ),
        DropReason::PeerFamilyMismatch => (
            "It is for a peer of a family that the allocation has no relayed transport address of.",
            Some("Allocate for that family, too (REQUESTED-ADDRESS-FAMILY or ADDITIONAL-ADDRESS-FAMILY)."),
        ),
        DropReason::PeerForbidden => {
            ("Its peer is the relay's own listening port, or port 0: neither is relayed to.", None)
        }
        DropReason::RequestInProgress => {
            ("The relay is still working on the first copy of this request; one answer is enough.", None)
        }
        other => return Explanation::new(Tone::Problem, "The relay dropped it", format!("Reason: {}.", words(&other))),
    };
    let explanation = Explanation::new(Tone::Problem, "The relay dropped it", text);
    match advice {
        Some(advice) => explanation.advice(advice),
        None => explanation,
    }
}

/// What a change is, in one line.
impl Change {
    /// A short sentence for lists, such as `A1: channel 0x4000 expired`; `None` for what every relayed packet does.
    #[must_use]
    pub fn headline(&self) -> Option<String> {
        Some(match self {
            Self::Created(new) => format!("{}: allocated", name(new.number)),
            Self::Refreshed { allocation, .. } => format!("{}: refreshed", name(*allocation)),
            Self::FamilyRemoved { allocation, family, .. } => {
                format!("{}: {} ended", name(*allocation), address_of(*family).replace("Its", "its"))
            }
            Self::Removed { allocation, reason } => format!("{}: {}", name(*allocation), words(reason)),
            Self::ChannelBound { allocation, channel, renewal, .. } => {
                format!("{}: channel {channel:#06x} {}", name(*allocation), if *renewal { "renewed" } else { "bound" })
            }
            Self::ChannelExpired { allocation, channel } => {
                format!("{}: channel {channel:#06x} expired", name(*allocation))
            }
            Self::ChannelReleased { allocation, channel } => {
                format!("{}: channel {channel:#06x} free", name(*allocation))
            }
            Self::Responded { outcome: Outcome::Success, .. } | Self::Relayed { .. } => return None,
            Self::Responded { outcome, .. } => format!("refused: {}", outcome.error_code().unwrap_or_default()),
            Self::Dropped { reason } => format!("dropped: {}", words(reason)),
            Self::Draining => "draining".to_owned(),
        })
    }
}
