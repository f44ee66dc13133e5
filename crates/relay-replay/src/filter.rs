//! Filters of the packet list.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use crate::{Flags, Kind, Row, timeline::Timeline};

/// A filter of the packet list: words separated by spaces, all of which must match.
///
/// A word may be negated (`-data`) or have alternatives (`401|438`). Words are kinds (`request`, `response`, `success`, `error`,
/// `indication`, `channeldata`, `data`, `stun`, `internal`, `malformed`, `other`), methods (`binding`, `allocate`, `refresh`,
/// `send`, `dataindication`, `createpermission`, `channelbind`), properties (`dropped`, `rejected`, `different`, `truncated`,
/// `state`, `comment`), error codes (`401`), channels (`0x4000`), addresses (`192.0.2.1`, `[2001:db8::1]:3478`), ports (`:3478`)
/// and row numbers counted from 1 (`#7`, `#7-20`). `data` is application data in any encapsulation. An address also matches as the
/// peer in a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    words: Vec<Word>,
}

/// An unknown word in a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is no kind, method, property, error code, channel, address, :port or #row")]
pub struct FilterError {
    /// The unknown word.
    pub word: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    negated: bool,
    alternatives: Vec<Test>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Kinds(&'static [Kind]),
    /// Application data.
    Data,
    Method(u8),
    Flag(Flags),
    Code(u16),
    Channel(u16),
    Ip(IpAddr),
    Socket(SocketAddr),
    Port(u16),
    Rows(u32, u32),
}

const SEND: u8 = 6;
const DATA: u8 = 7;

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let words = text.split_whitespace().map(|word| {
            let (negated, rest) = match word.strip_prefix(['-', '!']) {
                Some(rest) => (true, rest),
                None => (false, word),
            };
            let alternatives = rest.split('|').map(|one| test(one).ok_or(FilterError { word: one.to_owned() }));
            Ok(Word { negated, alternatives: alternatives.collect::<Result<_, _>>()? })
        });
        Ok(Self { words: words.collect::<Result<_, _>>()? })
    }
}

fn test(word: &str) -> Option<Test> {
    let lower = word.to_ascii_lowercase();
    Some(match lower.as_str() {
        "request" | "requests" => Test::Kinds(&[Kind::Request]),
        "response" | "responses" => Test::Kinds(&[Kind::Success, Kind::Error]),
        "success" => Test::Kinds(&[Kind::Success]),
        "error" | "errors" => Test::Kinds(&[Kind::Error]),
        "indication" | "indications" => Test::Kinds(&[Kind::Indication]),
        "channeldata" => Test::Kinds(&[Kind::ChannelData]),
        "data" => Test::Data,
        "stun" => Test::Kinds(&[Kind::Request, Kind::Indication, Kind::Success, Kind::Error]),
        "internal" | "event" | "events" => Test::Kinds(&[Kind::Internal]),
        "malformed" => Test::Kinds(&[Kind::Malformed]),
        "other" => Test::Kinds(&[Kind::Other, Kind::Unusable]),
        "binding" => Test::Method(1),
        "allocate" => Test::Method(3),
        "refresh" => Test::Method(4),
        "send" => Test::Method(SEND),
        "dataindication" | "dataindications" => Test::Method(DATA),
        "createpermission" | "permission" => Test::Method(8),
        "channelbind" => Test::Method(9),
        "dropped" => Test::Flag(Flags::DROPPED),
        "rejected" => Test::Flag(Flags::REJECTED),
        "different" => Test::Flag(Flags::DIFFERENT),
        "truncated" => Test::Flag(Flags::TRUNCATED),
        "state" => Test::Flag(Flags::STATE),
        "comment" => Test::Flag(Flags::COMMENTED),
        _ => return number(&lower),
    })
}

fn number(word: &str) -> Option<Test> {
    if let Some(rows) = word.strip_prefix('#') {
        let (first, last) = rows.split_once('-').unwrap_or((rows, rows));
        return Some(Test::Rows(first.parse::<u32>().ok()?.checked_sub(1)?, last.parse::<u32>().ok()?.checked_sub(1)?));
    }
    if let Some(channel) = word.strip_prefix("0x") {
        return u16::from_str_radix(channel, 16).ok().map(Test::Channel);
    }
    if let Ok(code @ 300..=699) = word.parse() {
        return Some(Test::Code(code));
    }
    if let Ok(ip) = word.trim_matches(['[', ']']).parse() {
        return Some(Test::Ip(ip));
    }
    if let Ok(socket) = word.parse() {
        return Some(Test::Socket(socket));
    }
    word.strip_prefix(':').and_then(|port| port.parse().ok()).map(Test::Port)
}

impl Filter {
    /// The rows that match.
    pub(crate) fn select(&self, timeline: &Timeline) -> Vec<u32> {
        // Compares each address once, rather than for each row.
        let words: Vec<_> = self
            .words
            .iter()
            .map(|word| {
                let endpoints: Vec<Vec<bool>> = word.alternatives.iter().map(|test| matching(test, timeline)).collect();
                (word, endpoints)
            })
            .collect();
        let index = |position: usize| u32::try_from(position).unwrap_or(Row::NONE);
        let passes = |position: usize, row: &Row| {
            words.iter().all(|(word, endpoints)| {
                let any = word
                    .alternatives
                    .iter()
                    .zip(endpoints)
                    .any(|(test, endpoints)| test.holds(index(position), row, timeline, endpoints));
                any != word.negated
            })
        };
        timeline
            .rows
            .iter()
            .enumerate()
            .filter(|(position, row)| passes(*position, row))
            .map(|(position, _)| index(position))
            .collect()
    }
}

fn matching(test: &Test, timeline: &Timeline) -> Vec<bool> {
    let holds = |address: SocketAddr| match test {
        Test::Ip(ip) => address.ip() == *ip,
        Test::Socket(socket) => address == *socket,
        Test::Port(port) => address.port() == *port,
        _ => false,
    };
    if matches!(test, Test::Ip(_) | Test::Socket(_) | Test::Port(_)) {
        timeline.endpoints.list().iter().map(|endpoint| holds(endpoint.address)).collect()
    } else {
        Vec::new()
    }
}

impl Test {
    fn holds(&self, index: u32, row: &Row, timeline: &Timeline, endpoints: &[bool]) -> bool {
        let is_stun =
            matches!(row.kind, Kind::Request | Kind::Indication | Kind::Success | Kind::Error | Kind::Malformed);
        match self {
            Self::Kinds(kinds) => kinds.contains(&row.kind),
            Self::Data => match row.kind {
                Kind::ChannelData | Kind::Data => true,
                Kind::Indication => matches!(row.method, SEND | DATA),
                _ => false,
            },
            Self::Method(method) => is_stun && row.method == *method,
            Self::Flag(flag) => row.flags.contains(*flag),
            Self::Code(code) => {
                let answered = |row: &Row| row.kind == Kind::Error && row.argument == *code;
                answered(row) || row.kind == Kind::Request && timeline.row(row.related).is_some_and(answered)
            }
            Self::Channel(channel) => row.kind == Kind::ChannelData && row.argument == *channel,
            Self::Ip(_) | Self::Socket(_) | Self::Port(_) => [row.source, row.destination, row.peer]
                .into_iter()
                .filter_map(|endpoint| usize::try_from(endpoint).ok())
                .any(|endpoint| endpoints.get(endpoint).copied().unwrap_or(false)),
            Self::Rows(first, last) => (*first..=*last).contains(&index),
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn every_documented_word_is_understood() {
        let words = "request response success error indication channeldata data stun internal malformed other binding \
                     allocate refresh send dataindication createpermission channelbind dropped rejected different truncated state comment 401 \
                     0x4000 192.0.2.1 [2001:db8::1]:3478 2001:db8::1 [::1] :3478 #7 #7-20 -data 401|438 !error";
        assert_eq!(words.parse::<Filter>().unwrap().words.len(), words.split_whitespace().count());
        assert_eq!("".parse(), Ok(Filter::default()));
    }

    #[test]
    fn a_word_that_means_nothing_is_named() {
        for (text, word) in [("allocate foo", "foo"), ("#0", "#0"), ("401|x", "x"), ("-", ""), ("0x12345", "0x12345")] {
            assert_eq!(text.parse::<Filter>(), Err(FilterError { word: word.to_owned() }), "{text}");
        }
    }
}
