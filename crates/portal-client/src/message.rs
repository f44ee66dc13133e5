use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) const TOPIC: &str = "relay";
const HEARTBEAT_TOPIC: &str = "phoenix";

/// How many characters of a text from the portal to quote, so that a log line stays bounded.
const QUOTE_LIMIT: usize = 200;

#[derive(Serialize)]
struct Outgoing<'a, P> {
    topic: &'a str,
    event: &'a str,
    payload: P,
    r#ref: String,
}

#[derive(Serialize)]
struct Join<'a> {
    stamp_secret: &'a str,
}

#[derive(Serialize)]
struct Empty {}

fn encode<P: Serialize>(topic: &str, event: &str, payload: P, reference: u64) -> String {
    let message = Outgoing { topic, event, payload, r#ref: reference.to_string() };
    // Strings and integers only: serialising them into memory cannot fail.
    serde_json::to_string(&message).unwrap_or_default()
}

pub(crate) fn join(stamp_secret: &str, reference: u64) -> String {
    encode(TOPIC, "phx_join", Join { stamp_secret }, reference)
}

pub(crate) fn leave(reference: u64) -> String {
    encode(TOPIC, "phx_leave", Empty {}, reference)
}

pub(crate) fn heartbeat(reference: u64) -> String {
    encode(HEARTBEAT_TOPIC, "heartbeat", Empty {}, reference)
}

/// A message from the portal.
#[derive(Debug, PartialEq)]
pub(crate) enum Incoming {
    Reply { reference: u64, result: Result<(), String> },
    Init,
    ChannelEnded(&'static str),
    Disconnect { reason: String },
    Unknown { event: String },
    Garbage { problem: String },
}

#[derive(Deserialize)]
struct Envelope {
    topic: String,
    event: String,
    #[serde(default)]
    payload: Value,
    #[serde(default)]
    r#ref: Value,
}

impl Incoming {
    pub(crate) fn parse(text: &str) -> Self {
        let Envelope { topic, event, payload, r#ref } = match serde_json::from_str(text) {
            Ok(envelope) => envelope,
            // The error quotes unexpected text, escaped but in full.
            Err(error) => return Self::Garbage { problem: cut(&error.to_string(), |c| [c]) },
        };
        match event.as_str() {
            "phx_reply" => {
                let Some(reference) = reference(&r#ref) else {
                    return Self::Garbage { problem: "a reply without a reference".to_owned() };
                };
                match payload.get("status").and_then(Value::as_str) {
                    Some("ok") => Self::Reply { reference, result: Ok(()) },
                    Some("error") => Self::Reply { reference, result: Err(reason(payload.get("response"))) },
                    _ => Self::Garbage { problem: "a reply without a status".to_owned() },
                }
            }
            "init" if topic == TOPIC => Self::Init,
            "phx_error" if topic == TOPIC => Self::ChannelEnded("phx_error"),
            "phx_close" if topic == TOPIC => Self::ChannelEnded("phx_close"),
            "disconnect" => Self::Disconnect { reason: reason(Some(&payload)) },
            _ => Self::Unknown { event: quote(&event) },
        }
    }
}

/// Phoenix's serializer echoes the reference, a string here. Other versions of the serializer make it a number.
fn reference(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// The field `reason` if there is one, otherwise the whole value.
fn reason(value: Option<&Value>) -> String {
    match value.map(|value| value.get("reason").unwrap_or(value)) {
        Some(Value::String(reason)) => quote(reason),
        Some(other) => quote(&other.to_string()),
        None => "no reason given".to_owned(),
    }
}

fn quote(text: &str) -> String {
    cut(text, char::escape_debug)
}

/// The beginning of a text, with each character escaped by `escape`.
fn cut<I: IntoIterator<Item = char>>(text: &str, escape: impl Fn(char) -> I) -> String {
    let mut beginning: String = text.chars().take(QUOTE_LIMIT).flat_map(escape).collect();
    if text.chars().nth(QUOTE_LIMIT).is_some() {
        beginning.push_str("...");
    }
    beginning
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Incoming, heartbeat, join, leave};

    #[test]
    fn outgoing_messages_have_the_form_of_serializer_v1() {
        let parse = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap();
        assert_eq!(
            parse(join("00ff", 1)),
            json!({"topic": "relay", "event": "phx_join", "payload": {"stamp_secret": "00ff"}, "ref": "1"})
        );
        assert_eq!(parse(heartbeat(2)), json!({"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "2"}));
        assert_eq!(parse(leave(3)), json!({"topic": "relay", "event": "phx_leave", "payload": {}, "ref": "3"}));
    }

    #[test]
    fn replies_are_understood_with_either_form_of_reference() {
        for reference in ["7", "\"7\""] {
            let text = format!(
                r#"{{"topic":"relay","event":"phx_reply","payload":{{"status":"ok","response":{{}}}},"ref":{reference}}}"#
            );
            assert_eq!(Incoming::parse(&text), Incoming::Reply { reference: 7, result: Ok(()) });
        }
    }

    #[test]
    fn refusals_carry_their_reason() {
        let parse = |response: &str| {
            Incoming::parse(&format!(
                r#"{{"topic":"relay","event":"phx_reply","payload":{{"status":"error"{response}}},"ref":"1"}}"#
            ))
        };
        let refused = |reason: &str| Incoming::Reply { reference: 1, result: Err(reason.to_owned()) };
        assert_eq!(parse(r#","response":{"reason":"unmatched topic"}"#), refused("unmatched topic"));
        assert_eq!(parse(r#","response":{"code":5}"#), refused(r#"{\"code\":5}"#));
        assert_eq!(parse(""), refused("no reason given"));
    }

    #[test]
    fn unknown_fields_and_missing_ones_do_not_matter() {
        assert_eq!(Incoming::parse(r#"{"topic":"relay","event":"init","payload":{"new":[1]},"x":{}}"#), Incoming::Init);
        assert_eq!(Incoming::parse(r#"{"topic":"relay","event":"init"}"#), Incoming::Init);
    }

    #[test]
    fn events_are_told_apart_by_topic() {
        let parse = |topic: &str, event: &str| {
            Incoming::parse(&json!({"topic": topic, "event": event, "payload": {}, "ref": null}).to_string())
        };
        assert_eq!(parse("relay", "phx_error"), Incoming::ChannelEnded("phx_error"));
        assert_eq!(parse("relay", "phx_close"), Incoming::ChannelEnded("phx_close"));
        assert_eq!(parse("room", "phx_error"), Incoming::Unknown { event: "phx_error".to_owned() });
        assert_eq!(parse("room", "init"), Incoming::Unknown { event: "init".to_owned() });
        assert_eq!(parse("relay", "presence_diff"), Incoming::Unknown { event: "presence_diff".to_owned() });
    }

    #[test]
    fn disconnect_says_why() {
        let text = r#"{"topic":"socket","event":"disconnect","payload":{"reason":"token_expired"}}"#;
        assert_eq!(Incoming::parse(text), Incoming::Disconnect { reason: "token_expired".to_owned() });
    }

    #[test]
    fn garbage_is_named_as_such() {
        for text in
            ["", "nonsense", "[]", "{}", r#"{"topic":1,"event":"init"}"#, r#"{"topic":"relay","event":"phx_reply"}"#]
        {
            assert!(matches!(Incoming::parse(text), Incoming::Garbage { .. }), "{text}");
        }
    }

    #[test]
    fn what_the_portal_says_stays_on_one_bounded_line() {
        let reason = format!("a\nb\u{1b}[31m{}", "x".repeat(10_000));
        let text = json!({"topic": "relay", "event": "disconnect", "payload": {"reason": reason}}).to_string();
        let Incoming::Disconnect { reason } = Incoming::parse(&text) else { panic!("not a disconnect") };
        assert!(reason.starts_with(r"a\nb\u{1b}[31mxxx") && reason.ends_with("x..."), "{reason}");
        assert!(reason.len() < 300);
    }

    #[test]
    fn a_text_in_the_wrong_place_is_not_repeated_in_full() {
        let Incoming::Garbage { problem } = Incoming::parse(&json!("x\n".repeat(10_000)).to_string()) else {
            panic!("not garbage")
        };
        assert!(problem.contains(r"x\nx\n") && problem.ends_with("..."), "{problem}");
        assert!(problem.len() < 300);
    }
}
