//! What a Data indication tells of an ICMP error, in plain words.

use stun_msg::Method;

use crate::{
    Kind, dissect,
    explain::{About, Explanation, Tone},
};

/// Explains the [ICMP](https://www.rfc-editor.org/rfc/rfc8656#section-18.13) attribute of a Data indication.
pub(crate) fn told(about: &About<'_>) -> Option<Explanation> {
    let is_data = about.row.kind == Kind::Indication && u16::from(about.row.method) == Method::DATA.number();
    let value = dissect::find(about.message, dissect::ICMP).filter(|_| is_data)?;
    let icmp = dissect::Icmp::read(value)?;
    let peer = about.peer_words();
    let text = format!(
        "What the client sent to {peer} did not arrive: {} ({icmp}). The relay tells the client so in a Data indication without DATA.",
        icmp.meaning(about.peer.is_some_and(|peer| peer.is_ipv6()))
    );
    Some(
        Explanation::new(Tone::Problem, "An ICMP error came back from the peer's side", text)
            .advice(icmp.advice(about.peer.is_some_and(|peer| peer.is_ipv6())))
            .link("https://www.rfc-editor.org/rfc/rfc8656#section-11.5"),
    )
}
