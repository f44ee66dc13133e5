mod contract;
mod failures;
mod heartbeats;

use std::time::Duration;

use super::{Event, Output, Session};
use crate::{Failure, Fatal, Limits, StampSecret};

const SECRET: &str = "4c98bf59c99b3e467ecd7cf9d6b3e527";
const JOIN_OK: &str = r#"{"topic":"relay","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":"1"}"#;
const INIT: &str = r#"{"topic":"relay","event":"init","payload":{},"ref":null}"#;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn new_session() -> Session {
    Session::new(Limits::default(), StampSecret::new(SECRET), [3; 32], Duration::ZERO)
}

fn outputs(session: &mut Session) -> Vec<Output> {
    std::iter::from_fn(|| session.poll_output()).collect()
}

fn broken() -> Failure {
    Failure::Broken { problem: "reset".to_owned() }
}

fn reply(reference: &str) -> String {
    JOIN_OK.replace("\"1\"", &format!("\"{reference}\""))
}

/// The reference of the only message of `event` among the outputs.
fn sent(outputs: &[Output], event: &str) -> String {
    let sent: Vec<serde_json::Value> = outputs
        .iter()
        .filter_map(|output| if let Output::Send(text) = output { serde_json::from_str(text).ok() } else { None })
        .filter(|message: &serde_json::Value| message["event"] == event)
        .collect();
    assert_eq!(sent.len(), 1, "{event} in {outputs:?}");
    sent[0]["ref"].as_str().unwrap().to_owned()
}

/// Connects a session that is waiting to be connected, up to `Ready`.
fn make_ready(session: &mut Session, now: Duration) {
    outputs(session);
    session.handle_connected(now);
    let join = sent(&outputs(session), "phx_join");
    session.handle_text(now, &reply(&join));
    session.handle_text(now, INIT);
    assert!(outputs(session).contains(&Output::Event(Event::Ready)));
}

fn ready_session() -> Session {
    let mut session = new_session();
    make_ready(&mut session, Duration::ZERO);
    session
}

#[test]
fn it_connects_joins_with_its_secret_and_is_ready_after_init() {
    let mut session = new_session();
    assert_eq!(outputs(&mut session), [Output::Connect]);
    session.handle_connected(secs(1));
    let opened = outputs(&mut session);
    assert_eq!(opened[0], Output::Event(Event::Connected));
    let Output::Send(join) = &opened[1] else { panic!("{opened:?}") };
    assert!(join.contains(&format!(r#""payload":{{"stamp_secret":"{SECRET}"}}"#)), "{join}");

    session.handle_text(secs(1), JOIN_OK);
    assert_eq!(outputs(&mut session), [Output::Event(Event::Joined)], "not ready before init");
    session.handle_text(secs(2), INIT);
    assert_eq!(outputs(&mut session), [Output::Event(Event::Ready)]);
}

#[test]
fn a_rejoin_tells_the_same_secret_and_is_ready_without_another_init() {
    let mut session = ready_session();
    session.handle_failed(secs(100), broken());
    assert_eq!(
        outputs(&mut session),
        [Output::Event(Event::Disconnected { failure: broken(), retry_in: Duration::ZERO }), Output::Connect]
    );
    session.handle_connected(secs(100));
    let opened = outputs(&mut session);
    assert!(matches!(&opened[1], Output::Send(join) if join.contains(SECRET)));
    session.handle_text(secs(100), &reply(&sent(&opened, "phx_join")));
    assert_eq!(outputs(&mut session), [Output::Event(Event::Joined), Output::Event(Event::Ready)]);
    session.handle_text(secs(100), INIT);
    assert!(matches!(outputs(&mut session)[..], [Output::Event(Event::Ignored { .. })]));
}

#[test]
fn leaving_says_good_bye_and_ends() {
    let mut session = ready_session();
    session.handle_leave();
    let last = outputs(&mut session);
    sent(&last, "phx_leave");
    assert_eq!(last.last(), Some(&Output::Close));
    assert_eq!(session.poll_timeout(), None);

    let mut connecting = new_session();
    outputs(&mut connecting);
    connecting.handle_leave();
    assert_eq!(outputs(&mut connecting), [Output::Close]);
    connecting.handle_leave();
    assert_eq!(outputs(&mut connecting), []);
}

#[test]
fn the_secret_is_not_in_debug_output() {
    let mut session = new_session();
    session.handle_connected(secs(1));
    let printed = format!("{session:?} {:?}", outputs(&mut session));
    assert!(!printed.contains(SECRET), "{printed}");
}
