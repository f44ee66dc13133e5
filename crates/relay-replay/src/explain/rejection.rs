//! Explains why this relay refused a request.

use relay_server::{AuthError, Rejection};
use stun_msg::{AttributeType, Method};

use super::{
    code, drop,
    explanation::{About, Explanation, Tone},
};
use crate::dissect;

pub(crate) fn rejected(rejection: Rejection, about: &About<'_>) -> Explanation {
    let code = rejection.error_code().number();
    let problem = |title: &str, text: String| Explanation::new(Tone::Problem, format!("{code}: {title}"), text);
    match rejection {
        Rejection::NotAuthenticated(AuthError::Expired { seconds_ago }) => code::expired(seconds_ago),
        Rejection::NotAuthenticated(AuthError::WrongPassword) => problem(
            "the password is wrong",
            "MESSAGE-INTEGRITY was not made with a password that one of this relay's secrets yields for this username, in a scheme that it accepts, or that this user has.".to_owned(),
        )
        .advice("Compare the secret of whoever issues the credentials with the relay's. After a relay's restart with a new secret, all old credentials are void. A message that was changed on its way shows the same.")
        .link("https://www.rfc-editor.org/rfc/rfc8489#section-9.2.4"),
        Rejection::NotAuthenticated(AuthError::StaleNonce) => code::stale_nonce(),
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
        Rejection::PeerForbidden(why) => problem(
            "the peer may not be relayed to",
            format!("The client asks for {}, and {why}.{}", about.peer_words(), all_or_none(about)),
        )
        .advice("The client must leave such a candidate out, or the relay's operator allow it (--allow-peer), if it is one of the operator's own network. Multicast, broadcast, unspecified, IPv6 link-local and tunnelled addresses and the relay's own listening port are never relayed to.")
        .link("https://www.rfc-editor.org/rfc/rfc8656#section-10.2"),
        Rejection::FamilyMismatch => problem(
            "the peer is of another address family",
            format!(
                "The client asks for {}, and the allocation has no relayed transport address of that family to send from.{}",
                about.peer_words(),
                all_or_none(about)
            ),
        )
        .advice(drop::WRONG_FAMILY)
        .link("https://www.rfc-editor.org/rfc/rfc8656#section-7.1"),
        Rejection::FamilyNotSupported => family_not_supported(about),
        Rejection::TooManyPermissions { limit } => problem(
            "too many permissions",
            format!("An allocation of this relay has at most {limit} permissions (--permissions-per-allocation), and with this request it would have more.{}", all_or_none(about)),
        )
        .advice("Permissions end 5 minutes after they were last asked for. A client that needs so many peers at once should spread them over several allocations."),
        Rejection::TooManyChannels { limit } => problem(
            "too many channels",
            format!("An allocation of this relay has at most {limit} channels (--channels-per-allocation), those counted whose numbers are still reserved, and this one has as many."),
        )
        .advice("Channels that are not renewed are free again after 15 minutes. A client that needs so many peers at once should spread them over several allocations."),
        Rejection::NoChannelLeft => problem(
            "the relay has no room for another channel",
            "All clients together have as many channels as the relay holds (--max-channels), those counted whose numbers are still reserved.".to_owned(),
        )
        .advice("Ask another relay. Whoever runs this one can see in its metrics who takes so many, and raise --max-channels if it has the memory, or lower --channels-per-allocation."),
        Rejection::NoPermissionLeft => problem(
            "the relay has no room for another permission",
            format!("All clients together have as many permissions as the relay holds (--max-permissions).{}", all_or_none(about)),
        )
        .advice("Ask another relay. Whoever runs this one can see in its metrics who takes so many, and raise --max-permissions if it has the memory, or lower --permissions-per-allocation."),
        other => {
            let mut explanation = code::explain(code, about.row.unix_nanos / 1_000_000_000, about.message);
            explanation.text = format!("The relay says: {other}. {}", explanation.text);
            explanation
        }
    }
}

/// A remark for CreatePermission with several peers: one refusal refuses all.
fn all_or_none(about: &About<'_>) -> String {
    let is_one_of_many = u16::from(about.row.method) == Method::CREATE_PERMISSION.number()
        && dissect::find_all(about.message, dissect::XOR_PEER_ADDRESS).count() > 1;
    let text =
        " A CreatePermission is granted for all its addresses or for none, so the others have no permission either.";
    if is_one_of_many { text.to_owned() } else { String::new() }
}

fn family_not_supported(about: &About<'_>) -> Explanation {
    let problem = |text: &str| Explanation::new(Tone::Problem, "440: the relay has no address of this family", text);
    let asks = dissect::types(about.message).any(|number| number == AttributeType::REQUESTED_ADDRESS_FAMILY.number());
    let explanation = if asks {
        problem(
            "The client asks for a relayed transport address of a family in which this relay has no public address.",
        )
        .advice("Ask another relay, or give this one an address of that family (--public-ip4-addr, --public-ip6-addr).")
    } else {
        problem("The client asks for no family, which means IPv4 by the standard, and this relay has no IPv4 address. Browsers never ask for a family, and none can use this relay.")
            .advice("Start the relay with --default-address-family client (DEFAULT_ADDRESS_FAMILY), the default where there is no IPv4 address: who asks for none gets the family that it comes over.")
    };
    explanation.link("https://www.rfc-editor.org/rfc/rfc8656#section-7.2")
}
