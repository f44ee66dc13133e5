//! A paragraph of explanation, and the data that it refers to.

use std::net::SocketAddr;

use serde::Serialize;

use crate::Row;

/// A paragraph about a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Whether it is good or bad news.
    pub tone: Tone,
    /// What happened, in a few words.
    pub title: String,
    /// Why it happened, and what it means.
    pub text: String,
    /// Advice, if there is any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The URL of the section that requires it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<&'static str>,
}

/// Whether an explanation is good or bad news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// Ordinary.
    Info,
    /// A success.
    Good,
    /// A failure.
    Problem,
    /// The replay and the recording differ.
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

/// The data that an explanation refers to.
pub(crate) struct About<'a> {
    pub(crate) row: &'a Row,
    /// The related row.
    pub(crate) other: Option<&'a Row>,
    /// The request or indication.
    pub(crate) message: &'a [u8],
    /// The peer in it.
    pub(crate) peer: Option<SocketAddr>,
    /// Whether the relay is known to have indications off, and so no permissions.
    pub(crate) channels_only: bool,
}

impl About<'_> {
    /// The peer as part of a sentence.
    pub(crate) fn peer_words(&self) -> String {
        words_for(self.peer)
    }
}

/// A peer as part of a sentence.
pub(crate) fn words_for(peer: Option<SocketAddr>) -> String {
    match peer {
        // A permission is for an IP address, and clients may leave the port at 0.
        Some(peer) if peer.port() == 0 => peer.ip().to_string(),
        Some(peer) => peer.to_string(),
        None => "a peer".to_owned(),
    }
}
