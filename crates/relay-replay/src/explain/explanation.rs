use std::net::SocketAddr;

use serde::Serialize;

use crate::Row;

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

    /// Adds a sentence to the text.
    pub(crate) fn and(mut self, sentence: &str) -> Self {
        self.text = format!("{} {sentence}", self.text);
        self
    }

    pub(crate) const fn link(mut self, link: &'static str) -> Self {
        self.link = Some(link);
        self
    }
}

/// What an explanation can speak of.
pub(crate) struct About<'a> {
    pub(crate) row: &'a Row,
    /// The row that belongs to it.
    pub(crate) other: Option<&'a Row>,
    /// The request, or the indication.
    pub(crate) message: &'a [u8],
    /// The peer that it is about.
    pub(crate) peer: Option<SocketAddr>,
    /// Whether the relay is known to have no permissions.
    pub(crate) channels_only: bool,
}

impl About<'_> {
    /// The peer in a sentence.
    pub(crate) fn peer_words(&self) -> String {
        words_for(self.peer)
    }
}

/// A peer in a sentence.
pub(crate) fn words_for(peer: Option<SocketAddr>) -> String {
    match peer {
        // A permission is for an address, and clients may leave the port out.
        Some(peer) if peer.port() == 0 => peer.ip().to_string(),
        Some(peer) => peer.to_string(),
        None => "a peer".to_owned(),
    }
}
