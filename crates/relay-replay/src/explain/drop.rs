//! Explains why a datagram was dropped.

use relay_server::{DropReason, Family};
use stun_msg::AttributeType;

use super::explanation::{About, Explanation, Tone};
use crate::{Kind, dissect};

const INDICATIONS: &str = "https://www.rfc-editor.org/rfc/rfc8656#section-11.2";
const PERMISSIONS: &str = "https://www.rfc-editor.org/rfc/rfc8656#section-9";

pub(crate) fn dropped(reason: DropReason, about: &About<'_>) -> Explanation {
    let peer = about.peer_words();
    let because = |title: &str, text: String| Explanation::new(Tone::Problem, format!("Dropped: {title}"), text);
    match reason {
        DropReason::NotStunNorChannelData => because(
            "neither STUN nor ChannelData",
            "Its first bytes are those of no protocol that a TURN relay speaks.".to_owned(),
        )
        .advice("Perhaps a scanner, or a client that sends its data without having bound a channel."),
        DropReason::MalformedStun => because(
            "the message is malformed",
            "It looks like STUN, but its lengths contradict each other or its FINGERPRINT is wrong.".to_owned(),
        )
        .advice("Something on the way may change packets; compare what the client sent with what arrived."),
        DropReason::TruncatedChannelData => {
            because("ChannelData is cut short", "Its length field promises more than arrived.".to_owned())
                .advice("Look for a middlebox or an MTU that cuts packets short.")
        }
        DropReason::NoAllocation => because(
            "its sender has no allocation",
            "It is application data from an address and port without an allocation.".to_owned(),
        )
        .advice(
            "The allocation expired, was made from another port (a NAT may have changed it), or is on another relay. The client must allocate anew.",
        ),
        DropReason::NoChannel => because(
            "there is no such channel",
            "The allocation has no such channel: it was never bound, or its binding expired.".to_owned(),
        )
        .advice("Bind the channel, and renew the binding before 10 minutes are over."),
        DropReason::UnknownPort => {
            because("nobody has this port", "No allocation has the port that it was sent to.".to_owned())
        }
        DropReason::UnknownPeer if matches!(about.row.kind, Kind::ChannelData | Kind::Indication) => not_invited_by_client(about),
        DropReason::UnknownPeer => because(
            "the peer was not invited",
            format!(
                "The allocation has neither a channel to {peer}, which sent it, nor a permission for its address: who has not been invited is not let in."
            ),
        )
        .advice(
            "The client must bind a channel to exactly this address and port or, where indications are on, ask for a permission (CreatePermission) for its address. A peer behind a NAT may appear with another port than expected.",
        )
        .link(PERMISSIONS),
        DropReason::SendIndication => because(
            "indications are switched off",
            format!(
                "It is data for {peer} in a Send indication, and this relay relays through channels only: --indications is off, or auto with a portal. Permissions are granted all the same, so the client learns nothing of it."
            ),
        )
        .advice(
            "Browsers, libnice and libjuice check their connections with Send indications, and fail without any error. For them, start the relay with --indications on (INDICATIONS=on).",
        )
        .link(INDICATIONS),
        DropReason::NoPermission => because(
            "no permission for the peer",
            format!(
                "It is data for {peer} in a Send indication, and the client has no permission for this address: it never asked for one, it was refused, or 5 minutes have passed since it last asked."
            ),
        )
        .advice(
            "The client must send CreatePermission for the peer's address, and again before 5 minutes are over. Renewing a channel renews the permission, too; sending data does not.",
        )
        .link(PERMISSIONS),
        DropReason::IncompleteSend => because(
            "where to, or what, is missing",
            "It is a Send indication without a valid XOR-PEER-ADDRESS, or without DATA.".to_owned(),
        )
        .advice("The client is at fault: each Send indication needs both.")
        .link(INDICATIONS),
        DropReason::UnknownAttribute => because(
            "it asks for what the relay cannot do",
            format!(
                "It is a Send indication with an attribute that must be honoured or not be relayed, and that this relay does not support{}.",
                unsupported(about.message)
            ),
        )
        .advice("The client must leave the attribute out.")
        .link(INDICATIONS),
        DropReason::UnknownIcmp => because(
            "an ICMP message of no use",
            "Clients are told that something cannot be reached, took too long or was too large, and of nothing else.".to_owned(),
        ),
        DropReason::IcmpLimit => because(
            "many ICMP messages at once",
            format!("The client was told of many in this second, which says all that there is to say about {peer}."),
        ),
        DropReason::AllocationBandwidth => over_limit("allocation", "--bandwidth-per-allocation, --packet-rate-per-allocation"),
        DropReason::UserBandwidth => over_limit("user", "--bandwidth-per-username, --packet-rate-per-username"),
        DropReason::TotalBandwidth => over_limit("relay", "--max-bandwidth, --max-packet-rate"),
        DropReason::PeerFamilyMismatch => family_mismatch(about),
        DropReason::PeerForbidden => because(
            "the peer is forbidden",
            format!("{peer} is the relay's own listening port, or has port 0: neither is relayed to."),
        ),
        DropReason::ImpossibleSource => because(
            "no client can be there",
            "The source is port 0, an address that no host has, or the relay's own listening port: an answer would reach nobody who asked.".to_owned(),
        ),
        DropReason::UnexpectedResponse => because(
            "a response to a server",
            "Responses go from a server to a client, not the other way.".to_owned(),
        ),
        DropReason::UnknownMethod => because("unknown method", "The relay does not know the method.".to_owned()),
        DropReason::UnknownIndication => because(
            "an indication of no use",
            "Clients send a relay no indications but Send; this one asks for nothing.".to_owned(),
        ),
        DropReason::RequestInProgress => because(
            "already being answered",
            "The relay is still working on the first copy of this request; one answer is enough.".to_owned(),
        ),
    }
}

/// A limit on bandwidth was exceeded.
fn over_limit(whose: &str, options: &str) -> Explanation {
    Explanation::new(
        Tone::Problem,
        format!("Dropped: the {whose} relays too much"),
        format!("The {whose} has relayed as much in this direction as it may in a second ({options})."),
    )
    .advice("Congestion control takes such a drop for what it is and sends less. If it should not, raise the limit.")
}

/// The receiving client, also one of this relay, has not permitted the sender.
fn not_invited_by_client(about: &About<'_>) -> Explanation {
    let to = match about.peer {
        Some(peer) => format!("It is for {peer}, the relayed transport address of another client of this relay"),
        None => "The channel leads to another client of this relay".to_owned(),
    };
    let text = format!(
        "{to}. That client has neither a channel to the sender's relayed transport address nor a permission for it: who has not been invited is not let in."
    );
    Explanation::new(Tone::Problem, "Dropped: the other client has not invited this one", text)
        .advice("With ICE the first checks may end so, until both sides know each other's candidates. If it goes on, the other client has not heard of this one's candidate, or never asked for a permission.")
        .link(PERMISSIONS)
}

fn family_mismatch(about: &About<'_>) -> Explanation {
    let family = match about.peer.map(|peer| Family::of(peer.ip())) {
        Some(Family::V4) => "no IPv4 address",
        Some(Family::V6) => "no IPv6 address",
        None => "no relayed transport address of that family",
    };
    Explanation::new(
        Tone::Problem,
        "Dropped: the peer is of another address family",
        format!("It is data for {}, and the allocation has {family} to send it from.", about.peer_words()),
    )
    .advice(WRONG_FAMILY)
    .link("https://www.rfc-editor.org/rfc/rfc8656#section-7.1")
}

/// Advice for an allocation of the wrong family.
pub(crate) const WRONG_FAMILY: &str = "The client must ask for that family when it allocates, with REQUESTED-ADDRESS-FAMILY or ADDITIONAL-ADDRESS-FAMILY. Browsers never ask, and get IPv4; with --default-address-family client (DEFAULT_ADDRESS_FAMILY) they get the family that they come over.";

/// The attributes in `message` that the relay does not support, as the end of a sentence.
fn unsupported(message: &[u8]) -> String {
    const SUPPORTED: [AttributeType; 7] = [
        AttributeType::XOR_PEER_ADDRESS,
        AttributeType::DATA,
        AttributeType::USERNAME,
        AttributeType::REALM,
        AttributeType::NONCE,
        AttributeType::MESSAGE_INTEGRITY,
        AttributeType::MESSAGE_INTEGRITY_SHA256,
    ];
    let required = dissect::types(message).filter(|number| *number < 0x8000);
    let names: Vec<_> = required
        .filter(|number| SUPPORTED.iter().all(|supported| supported.number() != *number))
        .map(|number| dissect::attribute_name(number))
        .collect();
    if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) }
}
