//! Explains in plain words how the relay handled a packet.

mod code;
mod drop;
mod explanation;
mod icmp;
mod rejection;

use std::net::SocketAddr;

use packet_trace::{LinkType, Packet};
use relay_server::{Family, RemovalReason};
use stun_msg::Method;

use crate::{
    Carrier, Change, Difference, Field, Flags, Kind, Outcome, Row, change::NewAllocation, dissect, time,
    timeline::Timeline, view::words,
};

pub use self::explanation::Explanation;
pub(crate) use self::{
    explanation::{About, Tone, words_for},
    icmp::told as icmp_told,
};

/// Dissects the packet of `row`.
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

/// The explanations of row number `index`.
pub(crate) fn row(timeline: &Timeline, index: u32, frame: &[u8], related: &[u8]) -> Vec<Explanation> {
    let Some(row) = timeline.row(index) else { return Vec::new() };
    let other = timeline.row(row.related);
    // A replay stores the outcome at the request's row, an inspection at the response's row.
    let is_response = matches!(row.kind, Kind::Success | Kind::Error);
    let (subject, message) = match (row.kind, other) {
        (Kind::Request | Kind::Indication, _) => (row, payload(row, frame)),
        (_, Some(other)) if is_response => (other, payload(other, related)),
        _ => (row, &[][..]),
    };
    let peer = if row.kind == Kind::Data && !row.flags.contains(Flags::OUTBOUND) { row.source } else { subject.peer };
    let peer = timeline.endpoints.get(peer).map(|endpoint| endpoint.address);
    let about = About { row, other, message, peer, channels_only: timeline.channels_only };
    let mut paragraphs = Vec::new();
    let own = timeline.changes_of(index);
    let others = other.filter(|_| row.kind == Kind::Request || is_response).map(|_| timeline.changes_of(row.related));
    let has_outcome = own.iter().any(|change| matches!(change, Change::Responded { .. }));
    let partner_changes = if has_outcome { &[][..] } else { others.unwrap_or_default() };
    let all: Vec<_> = own.iter().chain(partner_changes).collect();
    let has_permission = all.iter().any(|change| matches!(change, Change::PermissionInstalled { .. }));
    for change in all {
        // The explanation of the permission contains this success already.
        let is_covered = has_permission && matches!(change, Change::Responded { outcome: Outcome::Success, .. });
        paragraphs.extend(self::change(change, &about).filter(|_| !is_covered));
    }
    paragraphs.extend(unanswered(&about, has_outcome || !others.unwrap_or_default().is_empty()));
    paragraphs.extend(icmp::told(&about));
    for Difference { text, .. } in timeline.differences.iter().filter(|difference| difference.row == index) {
        paragraphs.push(Explanation::new(Tone::Difference, "The replay differs from the recording", text.clone()));
    }
    paragraphs
}

fn payload<'a>(row: &Row, frame: &'a [u8]) -> &'a [u8] {
    let start = usize::from(row.payload_at);
    let end = frame.len().min(start + usize::from(row.payload_len));
    frame.get(start..end).unwrap_or_default()
}

pub(crate) fn name(allocation: u32) -> String {
    format!("A{}", allocation + 1)
}

/// Explains one change.
pub(crate) fn change(change: &Change, about: &About<'_>) -> Option<Explanation> {
    let info = |title: String, text: String| Some(Explanation::new(Tone::Info, title, text));
    let good = |title: String, text: String| Some(Explanation::new(Tone::Good, title, text));
    match change {
        Change::Began { shard, allocations, is_draining } => info(
            format!("The recording of worker {shard} begins"),
            format!(
                "The relay was running already: this worker had {} allocations{}. Its whole state at this moment is in the recording.",
                allocations.len(),
                if *is_draining { ", and refused new ones" } else { "" }
            ),
        ),
        Change::Created(new) => {
            let relayed: Vec<_> = new.relayed.iter().map(SocketAddr::to_string).collect();
            good(
                format!("Allocation {} was created", name(new.number)),
                format!(
                    "Peers reach the client {} at {} for the next {}.{}",
                    new.client,
                    relayed.join(" and "),
                    time::span(u64::from(new.lifetime)),
                    other_family(new)
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
        Change::PermissionInstalled { allocation, address, renewal } => Some(
            Explanation::new(
                Tone::Good,
                format!("Permission of {} for {address} {}", name(*allocation), if *renewal { "renewed" } else { "granted" }),
                format!("For 5 minutes the client and every port of {address} may send each other data: without a channel, the client in Send indications and the relay in Data indications."),
            )
            .link("https://www.rfc-editor.org/rfc/rfc8656#section-9"),
        ),
        Change::PermissionExpired { allocation, address } => Some(
            Explanation::new(
                Tone::Info,
                format!("Permission of {} for {address} ended", name(*allocation)),
                "Nobody renewed it within 5 minutes. Send indications to this address and what comes from it are dropped from now on; channels that are bound relay on.",
            )
            .advice("A client that relies on indications must send CreatePermission again before 5 minutes are over.")
            .link("https://www.rfc-editor.org/rfc/rfc8656#section-9"),
        ),
        Change::Responded { method, outcome } => outcome_of(*method, *outcome, about),
        Change::Dropped { reason } => Some(drop::dropped(*reason, about)),
        Change::Relayed { bytes, from_client, carrier, crossed_to, .. } => info(
            format!("{bytes} bytes were relayed to the {}", if *from_client { "peer" } else { "client" }),
            relayed(*carrier, *from_client, *crossed_to, about),
        ),
        Change::IcmpTold { peer, icmp, .. } => {
            let peer_words = words_for(Some(*peer));
            Some(icmp::explain(dissect::Icmp::of(*icmp), &peer_words, peer.is_ipv6()))
        }
        Change::Draining => info(
            "The relay drains".to_owned(),
            "It was told to stop: new allocations are refused, so that clients go elsewhere, and existing ones live on.".to_owned(),
        ),
    }
}

pub(crate) const fn address_of(family: Family) -> &'static str {
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
            "Its lifetime passed without a Refresh. Its channels and permissions are gone, and its port is closed.",
        )
        .advice("A client must refresh its allocation in good time; one that has gone away shows exactly this.")
        .link("https://www.rfc-editor.org/rfc/rfc8656#section-8"),
        RemovalReason::Deleted => Explanation::new(
            Tone::Info,
            format!("Allocation {allocation} was deleted"),
            "Its client asked for a lifetime of zero. Its channels and permissions are gone, and its port is closed.",
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
    }
}

fn outcome_of(method: u16, outcome: Outcome, about: &About<'_>) -> Option<Explanation> {
    let method = Method::new(method);
    let explanation = match outcome {
        Outcome::Success if method == Method::BINDING => Some(Explanation::new(
            Tone::Info,
            "The client learned its address",
            "The relay answered with the address and port that the request came from: how the world sees the client behind its NAT.",
        )),
        Outcome::Success if method == Method::CREATE_PERMISSION && about.channels_only => Some(Explanation::new(
            Tone::Info,
            "The permission was granted",
            "Data still needs a channel: this relay relays through channels only (--indications is off, or it is auto and the relay uses a portal), and drops Send indications.",
        )),
        Outcome::Success if method == Method::CREATE_PERMISSION => Some(Explanation::new(
            Tone::Info,
            "The permission was granted",
            "The client's allocation was made before the capture began.",
        )),
        Outcome::Success => None,
        Outcome::Challenged => Some(code::challenge()),
        Outcome::Rejected(rejection) => Some(rejection::rejected(rejection, about)),
        Outcome::Refused(code) => Some(code::explain(code, about.row.unix_nanos / 1_000_000_000, about.message)),
    }?;
    let is_final = matches!(outcome.error_code(), Some(400 | 403 | 443 | 508));
    let names_a_peer = method == Method::CREATE_PERMISSION || method == Method::CHANNEL_BIND;
    Some(if is_final && names_a_peer {
        explanation.and("Chromium ends the whole connection at this answer.")
    } else {
        explanation
    })
}

/// How the relay forwarded data.
fn relayed(carrier: Carrier, from_client: bool, crossed_to: Option<(u32, Carrier)>, about: &About<'_>) -> String {
    // The related row is a packet to a client: the relay sent this data straight to another of its clients.
    let crossed = about.other.is_some_and(|other| matches!(other.kind, Kind::ChannelData | Kind::Indication));
    let (start, end) = match carrier {
        Carrier::Channel(channel) if from_client => (
            format!("The relay took off the header of channel {channel:#06x}"),
            " and sent the rest from the relayed transport address.".to_owned(),
        ),
        Carrier::Channel(channel) => (
            "The relay put ".to_owned(),
            format!("the header of channel {channel:#06x} in front and sent it to the client."),
        ),
        Carrier::Indication(peer) if from_client => (
            "The relay took the value of DATA out of the Send indication".to_owned(),
            format!(" and sent it to {peer} from the relayed transport address."),
        ),
        Carrier::Indication(peer) => (
            "The client has a permission for this peer and no channel to it. ".to_owned(),
            format!("The relay put the data into a Data indication that names {peer}, and sent it to the client."),
        ),
    };
    let crossing = match crossed_to {
        Some((allocation, Carrier::Channel(channel))) => {
            format!(
                ". The peer is another client of this relay, that of {}: the data goes straight to it, in channel {channel:#06x}.",
                name(allocation)
            )
        }
        Some((allocation, Carrier::Indication(_))) => {
            format!(
                ". The peer is another client of this relay, that of {}: the data goes straight to it, in a Data indication.",
                name(allocation)
            )
        }
        None => ". The peer is another client of this relay: the data goes straight to it.".to_owned(),
    };
    if crossed && from_client { start + &crossing } else { start + &end }
}

/// A remark about an allocation of one family whose client uses the other.
fn other_family(new: &NewAllocation) -> &'static str {
    let is_other = new.relayed.iter().all(|relayed| relayed.is_ipv4() != new.client.is_ipv4());
    if is_other && !new.relayed.is_empty() && new.client.is_ipv6() {
        " The client came over IPv6 and reaches peers over IPv4 only: it asked for that, or for no family, as browsers do, which means IPv4 unless --default-address-family says otherwise."
    } else {
        ""
    }
}

/// The explanation of a request without a response.
fn unanswered(about: &About<'_>, has_outcome: bool) -> Option<Explanation> {
    if about.row.kind != Kind::Request || has_outcome || about.row.flags.contains(Flags::DROPPED) {
        return None;
    }
    match about.other {
        Some(other) if other.kind == Kind::Request => Some(Explanation::new(
            Tone::Info,
            "The client sent this request again",
            format!(
                "It has the transaction ID of packet {}: no answer to that one had arrived in time.",
                about.row.related + 1
            ),
        )),
        Some(_) => None,
        None => Some(no_answer()),
    }
}

/// Explains a request without an answer.
pub(crate) fn no_answer() -> Explanation {
    Explanation::new(Tone::Problem, "There is no answer", "The capture holds no answer to this request.")
        .advice("If the client asks again and again, the request or its answer is lost on the way: look for a firewall, a wrong address or port, or a server that does not run. Where it never asks again, the capture may have ended too early, or shows one direction only.")
}
