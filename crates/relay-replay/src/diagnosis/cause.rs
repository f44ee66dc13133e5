//! Explanations of failures that no single packet shows.

use std::net::SocketAddr;

use packet_trace::IcmpError;

use crate::{Explanation, explain::Tone};

pub(super) fn challenge_unanswered() -> Explanation {
    Explanation::new(
        Tone::Problem,
        "The client did not answer the challenge",
        "The server asked for credentials, and the client sent no request with any.",
    )
    .advice("Give the client a username and a password for this server. If it has them, it did not receive the answer, or cannot use the server's kind of credentials.")
    .link("https://www.rfc-editor.org/rfc/rfc8489#section-9.2.3")
}

pub(super) fn answer_lost(copies: u32) -> Explanation {
    Explanation::new(
        Tone::Problem,
        "The answer does not reach the client",
        format!("The server answered. All that the client sent after that is the same request, {copies} times."),
    )
    .advice("The answer is lost on the way, or the client discards it. Look for a firewall or a NAT that lets requests pass and answers not, and compare the answer with what the client expects.")
    .link("https://www.rfc-editor.org/rfc/rfc8489#section-6.2.1")
}

pub(super) fn answered_elsewhere(asked: SocketAddr, answered: SocketAddr) -> Explanation {
    Explanation::new(
        Tone::Problem,
        "The answer came from another address",
        format!("The client asked {asked}, and {answered} answered. Clients and NATs accept an answer only from the address and port that was asked."),
    )
    .advice("A server with several addresses must answer from the one that it was asked at: let it listen at each of its addresses, not at the wildcard address.")
    .link("https://www.rfc-editor.org/rfc/rfc8489#section-6.3.1")
}

pub(super) fn code_cut_off() -> Explanation {
    Explanation::new(
        Tone::Problem,
        "The error code is missing",
        "The answer is an error, and the capture does not hold its code.",
    )
    .advice("Capture whole packets (tcpdump -s 0).")
}

/// An ICMP error came back from the way to the server.
pub(super) fn unreachable(error: &IcmpError) -> Explanation {
    let IcmpError { icmp_type, code, source, destination } = *error;
    let (what, advice) = match (source.is_ipv6(), icmp_type, code) {
        (false, 3, 3) | (true, 1, 4) => (
            "nobody listens at the server's port",
            "Start the server, or compare its addresses and port with those that the client is given.",
        ),
        (false, 3, 9 | 10 | 13) | (true, 1, 1 | 5 | 6) => {
            ("a firewall forbids it", "Let the firewall pass UDP to the server's port.")
        }
        (false, 3, 4) | (true, 2, _) => {
            ("it is too big for a link on the way, and may not be fragmented", "The client must send smaller packets.")
        }
        (false, 3, _) | (true, 1, _) => (
            "there is no way to the server's network or machine",
            "Look for a wrong address, a machine that is down, or a missing route.",
        ),
        _ => ("it went round until its time was over", "The way to the server has a loop: look at the routes on it."),
    };
    Explanation::new(
        Tone::Problem,
        "The server cannot be reached",
        format!("What the client sent to {destination} did not arrive: {what} (ICMP type {icmp_type}, code {code})."),
    )
    .advice(advice)
}
