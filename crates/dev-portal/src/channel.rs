use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Duration, timeout},
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};
use turn_auth::{AuthSecret, UnixTime};

use crate::{
    clock::unix_time,
    registry::{Announcement, Registry},
};

/// The deployed portal closes connections on which nothing comes for this long.
const IDLE: Duration = Duration::from_secs(41);

/// A message of the Phoenix channels' JSON serializer, version 1.
#[derive(Debug, Deserialize)]
struct Incoming {
    topic: String,
    event: String,
    #[serde(default)]
    payload: Value,
    #[serde(default)]
    r#ref: Value,
}

/// What one connection's relay may do next, and what it is answered.
#[derive(Debug)]
struct Channel<'a> {
    connection: u64,
    announcement: &'a Announcement,
    registry: &'a Registry,
}

/// Speaks with a relay until it goes or is silent for too long.
pub(crate) async fn serve<S>(
    mut stream: WebSocketStream<S>,
    connection: u64,
    announcement: Announcement,
    registry: &Registry,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let channel = Channel { connection, announcement: &announcement, registry };
    'connected: while let Ok(Some(Ok(message))) = timeout(IDLE, stream.next()).await {
        let Message::Text(text) = message else { continue };
        for answer in channel.answers(&text, unix_time()) {
            if stream.send(Message::text(answer.to_string())).await.is_err() {
                break 'connected;
            }
        }
    }
    registry.leave(connection);
    // The relay may be gone already.
    let _ = timeout(Duration::from_secs(1), stream.close(None)).await;
}

impl Channel<'_> {
    fn answers(&self, text: &str, now: UnixTime) -> Vec<Value> {
        let Ok(message) = serde_json::from_str::<Incoming>(text) else { return Vec::new() };
        match (message.topic.as_str(), message.event.as_str()) {
            ("phoenix", "heartbeat") => {
                self.registry.heartbeat(self.connection);
                vec![ok(&message)]
            }
            ("relay", "phx_join") => match stamp_secret(&message.payload) {
                Ok(secret) => {
                    self.registry.join(self.connection, self.announcement.clone(), secret, now);
                    vec![ok(&message), json!({"topic": "relay", "event": "init", "payload": {}, "ref": null})]
                }
                Err(reason) => vec![error(&message, &reason)],
            },
            ("relay", "phx_leave") => {
                self.registry.leave(self.connection);
                vec![ok(&message), json!({"topic": "relay", "event": "phx_close", "payload": {}, "ref": null})]
            }
            _ => vec![error(&message, "unmatched topic")],
        }
    }
}

fn stamp_secret(payload: &Value) -> Result<AuthSecret, String> {
    let secret = payload.get("stamp_secret").and_then(Value::as_str).ok_or("stamp_secret is missing")?;
    AuthSecret::new(secret).map_err(|error| format!("stamp_secret: {error}"))
}

fn ok(to: &Incoming) -> Value {
    reply(to, &json!({"status": "ok", "response": {}}))
}

fn error(to: &Incoming, reason: &str) -> Value {
    reply(to, &json!({"status": "error", "response": {"reason": reason}}))
}

fn reply(to: &Incoming, payload: &Value) -> Value {
    json!({"topic": to.topic, "event": "phx_reply", "payload": payload, "ref": to.r#ref})
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use turn_auth::UnixTime;

    use super::{Announcement, Channel, Registry};

    const SECRET: &str = "4c98bf59c99b3e467ecd7cf9d6b3e5279645fca59be67bc5bb4af3cf653761ab";

    fn answers(registry: &Registry, topic: &str, event: &str, payload: &Value) -> Vec<Value> {
        let announcement = Announcement {
            name: None,
            ipv4: Some([127, 0, 0, 1].into()),
            ipv6: None,
            port: 3478,
            user_agent: String::new(),
        };
        let channel = Channel { connection: 5, announcement: &announcement, registry };
        let text = json!({"topic": topic, "event": event, "payload": payload, "ref": "9"}).to_string();
        channel.answers(&text, UnixTime(1))
    }

    #[test]
    fn a_join_is_accepted_and_followed_by_init() {
        let registry = Registry::default();
        let answers = answers(&registry, "relay", "phx_join", &json!({"stamp_secret": SECRET}));
        assert_eq!(answers[0]["payload"]["status"], "ok");
        assert_eq!(answers[0]["ref"], "9");
        assert_eq!(answers[1]["event"], "init");
        assert_eq!(registry.relays()[0].secret.expose(), SECRET);
    }

    #[test]
    fn a_join_without_a_good_secret_is_refused() {
        for payload in [json!({}), json!({"stamp_secret": 7}), json!({"stamp_secret": ""})] {
            let registry = Registry::default();
            let answers = answers(&registry, "relay", "phx_join", &payload);
            assert_eq!((answers.len(), &answers[0]["payload"]["status"]), (1, &json!("error")), "{payload}");
            assert!(registry.relays().is_empty());
        }
    }

    #[test]
    fn heartbeats_are_answered_and_counted() {
        let registry = Registry::default();
        answers(&registry, "relay", "phx_join", &json!({"stamp_secret": SECRET}));
        for _ in 0..3 {
            assert_eq!(answers(&registry, "phoenix", "heartbeat", &json!({}))[0]["payload"]["status"], "ok");
        }
        assert_eq!(registry.relays()[0].heartbeats, 3);
    }

    #[test]
    fn leaving_removes_the_relay() {
        let registry = Registry::default();
        answers(&registry, "relay", "phx_join", &json!({"stamp_secret": SECRET}));
        assert_eq!(answers(&registry, "relay", "phx_leave", &json!({}))[1]["event"], "phx_close");
        assert!(registry.relays().is_empty());
    }

    #[test]
    fn other_topics_are_refused() {
        let answers = answers(&Registry::default(), "room", "phx_join", &json!({"stamp_secret": SECRET}));
        assert_eq!(answers[0]["payload"]["response"]["reason"], "unmatched topic");
    }
}
