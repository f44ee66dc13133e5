//! Explains ICMP errors in Data indications.

use stun_msg::Method;

use super::explanation::{About, Explanation, Tone};
use crate::{Kind, dissect};

/// Explains the [ICMP](https://www.rfc-editor.org/rfc/rfc8656#section-18.13) attribute of a Data indication.
pub(crate) fn told(about: &About<'_>) -> Option<Explanation> {
    let is_data = about.row.kind == Kind::Indication && u16::from(about.row.method) == Method::DATA.number();
    let value = dissect::find(about.message, dissect::ICMP).filter(|_| is_data)?;
    let is_v6 = about.peer.is_some_and(|peer| peer.is_ipv6());
    let icmp = dissect::Icmp::read(value, is_v6)?;
    Some(explain(icmp, &about.peer_words(), is_v6))
}

/// Explains an ICMP error about a peer.
pub(crate) fn explain(icmp: dissect::Icmp, peer: &str, is_v6: bool) -> Explanation {
    let text = format!(
        "What the client sent to {peer} did not arrive: {} ({icmp}). The relay tells the client so in a Data indication without DATA.",
        icmp.meaning(is_v6)
    );
    Explanation::new(Tone::Problem, "An ICMP error came back from the peer's side", text)
        .advice(icmp.advice(is_v6))
        .link("https://www.rfc-editor.org/rfc/rfc8656#section-11.5")
}
