//! Explains an error code from the code and the request alone, without the relay's reason.

use super::explanation::{Explanation, Tone};
use crate::{dissect, time};

/// Explains the error response `code` to `request` (possibly empty) at this Unix time in seconds.
pub(crate) fn explain(code: u16, unix_seconds: u64, request: &[u8]) -> Explanation {
    let problem = |title: &str, text: &str| Explanation::new(Tone::Problem, format!("{code}: {title}"), text);
    match code {
        401 => unauthenticated(unix_seconds, request),
        400 => problem("bad request", "An attribute of the request is missing, malformed or contradicts another, or a channel number and a peer are already bound otherwise.")
            .advice("Look for attributes that are marked as wrong; for ChannelBind, compare number and peer with the channels that exist. A lapsed channel keeps its number and peer reserved for 5 minutes.")
            .link("https://www.rfc-editor.org/rfc/rfc8656#section-12.2"),
        403 => problem("forbidden", "The relay's rules do not let it relay to this peer, or for this client.")
            .advice("The client must leave this peer out, or the relay's operator allow it.")
            .link("https://www.rfc-editor.org/rfc/rfc8656#section-19"),
        420 => problem("unknown attribute", "The request has an attribute from the range that a server must understand, and the relay does not know or support it.")
            .advice("UNKNOWN-ATTRIBUTES in the response lists what the client should leave out.")
            .link("https://www.rfc-editor.org/rfc/rfc8489#section-6.3.1"),
        437 => problem("allocation mismatch", "A client's address and port have either one allocation or none: this request assumes the opposite of what is.")
            .advice("Allocating again: use the allocation that exists, or delete it first (Refresh with lifetime 0). Anything else: the allocation expired or was made from another port; allocate anew.")
            .link("https://www.rfc-editor.org/rfc/rfc8656#section-19"),
        438 => stale_nonce(),
        440 => problem("address family not supported", "The relay has no address of the family that was asked for.")
            .link("https://www.rfc-editor.org/rfc/rfc8656#section-19"),
        441 => problem("wrong credentials", "The allocation was made with another username.")
            .advice("Use the same credentials for as long as an allocation lives; new ones need a new allocation.")
            .link("https://www.rfc-editor.org/rfc/rfc8656#section-19"),
        442 => problem("unsupported transport", "The relay relays UDP, and the request asks for something else.")
            .link("https://www.rfc-editor.org/rfc/rfc8656#section-19"),
        443 => problem("peer address family mismatch", "The peer's address is of a family in which the allocation has no relayed transport address.")
            .advice("Ask for that family when allocating, with REQUESTED-ADDRESS-FAMILY or ADDITIONAL-ADDRESS-FAMILY.")
            .link("https://www.rfc-editor.org/rfc/rfc8656#section-19"),
        486 => problem("allocation quota reached", "This user has as many allocations as one may, whatever usernames they were made with.")
            .advice("Delete allocations that are not needed any more, or raise the limit. Those that a page left behind when it was reloaded end ten minutes after their last refresh.")
            .link("https://www.rfc-editor.org/rfc/rfc8656#section-19"),
        508 => problem("insufficient capacity", "The relay cannot serve this now: no port is free, a reservation is unknown, or it is about to stop.")
            .advice("Try another relay.")
            .link("https://www.rfc-editor.org/rfc/rfc8656#section-19"),
        500..=599 => problem("server error", "The relay failed; the same request may succeed later."),
        300..=399 => problem("try another server", "The server sends the client elsewhere; ALTERNATE-SERVER says where."),
        _ => problem("refused", "The relay refused the request."),
    }
}

fn unauthenticated(unix_seconds: u64, request: &[u8]) -> Explanation {
    if !dissect::is_signed(request) {
        return challenge();
    }
    let expiry = dissect::find(request, dissect::USERNAME).and_then(dissect::username_expiry);
    match expiry.and_then(|expiry| unix_seconds.checked_sub(expiry)) {
        Some(seconds_ago) => expired(seconds_ago),
        None => Explanation::new(
            Tone::Problem,
            "401: the credentials are wrong",
            "The request is signed, and the server does not accept the signature or the username.",
        )
        .advice("Compare username and password with what the server expects, and the realm in the request with that in the first 401 response.")
        .link("https://www.rfc-editor.org/rfc/rfc8489#section-9.2.4"),
    }
}

/// Explains the first 401 of a client.
pub(crate) fn challenge() -> Explanation {
    Explanation::new(
        Tone::Info,
        "401: who are you?",
        "The request carries no credentials, as the first of every client does. The relay answers with its REALM and a fresh NONCE; the client signs the same request with them and sends it again.",
    )
    .link("https://www.rfc-editor.org/rfc/rfc8489#section-9.2.3")
}

pub(crate) fn expired(seconds_ago: u64) -> Explanation {
    Explanation::new(
        Tone::Problem,
        format!("401: the credentials expired {} ago", time::span(seconds_ago)),
        "The username says until when it is valid, and that moment has passed by the relay's clock.",
    )
    .advice("A client must have new credentials when it allocates; unless the relay was told to be strict, an allocation outlives them. If they are fresh, compare the clocks of the relay and of whoever issues credentials.")
    .link("https://www.rfc-editor.org/rfc/rfc8489#section-9.2.4")
}

pub(crate) fn stale_nonce() -> Explanation {
    Explanation::new(
        Tone::Info,
        "438: the nonce is stale",
        "The relay issued the nonce too long ago, or to another address and port. The response brings a fresh one, with which the client sends the request again; users notice nothing.",
    )
    .advice("If it goes on, the client's NAT gives each request another port, or the client does not take the new nonce.")
    .link("https://www.rfc-editor.org/rfc/rfc8489#section-9.2.4")
}
