use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;

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
fn heartbeats_are_sent_every_ten_seconds_whatever_else_is_said() {
    let mut session = ready_session();
    let mut beats = Vec::new();
    // The portal chatters every 0.7 s, and the timer is served up to 0.7 s late.
    for step in 1..=1000 {
        let now = Duration::from_millis(700 * step);
        session.handle_text(now, r#"{"topic":"relay","event":"news","payload":{}}"#);
        outputs(&mut session);
        session.handle_timeout(now);
        for output in outputs(&mut session) {
            let Output::Send(text) = output else { panic!("{output:?}") };
            assert!(text.contains(r#""topic":"phoenix","event":"heartbeat","payload":{}"#), "{text}");
            beats.push(now);
            session.handle_text(now, &reply(&sent(&[Output::Send(text)], "heartbeat")));
            outputs(&mut session);
        }
    }
    assert_eq!(beats.len(), 70);
    for (number, beat) in beats.iter().enumerate() {
        let due = secs(10 * (number as u64 + 1));
        assert!(
            (due..due + Duration::from_millis(700)).contains(beat),
            "beat {number} at {beat:?} drifted from {due:?}"
        );
    }
}

#[test]
fn beats_missed_in_sleep_are_not_made_up_for() {
    let mut session = ready_session();
    session.handle_timeout(secs(3605));
    assert_eq!(outputs(&mut session).len(), 1);
    assert_eq!(session.poll_timeout(), Some(secs(3610)), "back on schedule");
}

#[test]
fn more_than_three_unanswered_heartbeats_end_the_connection() {
    let mut session = ready_session();
    for beat in 1..=4 {
        session.handle_timeout(secs(10 * beat));
        sent(&outputs(&mut session), "heartbeat");
    }
    session.handle_timeout(secs(50));
    let failure = Failure::HeartbeatsUnanswered { count: 4 };
    assert_eq!(
        outputs(&mut session),
        [Output::Close, Output::Event(Event::Disconnected { failure, retry_in: Duration::ZERO }), Output::Connect]
    );
}

#[test]
fn one_answer_vouches_for_the_heartbeats_before_it() {
    let mut session = ready_session();
    for round in 0..100 {
        for beat in 1..=4 {
            session.handle_timeout(secs(10 * (4 * round + beat)));
            let beat_reference = sent(&outputs(&mut session), "heartbeat");
            if beat == 4 {
                session.handle_text(secs(10 * (4 * round + beat)), &reply(&beat_reference));
            }
        }
    }
    assert_eq!(outputs(&mut session), []);
}

#[test]
fn a_late_answer_counts_once_and_nobody_elses_does() {
    let mut session = ready_session();
    session.handle_timeout(secs(10));
    let beat = sent(&outputs(&mut session), "heartbeat");
    session.handle_text(secs(11), &reply("777"));
    assert!(matches!(outputs(&mut session)[..], [Output::Event(Event::Ignored { .. })]));
    session.handle_text(secs(11), &reply(&beat));
    assert_eq!(outputs(&mut session), []);
    session.handle_text(secs(11), &reply(&beat));
    assert!(matches!(outputs(&mut session)[..], [Output::Event(Event::Ignored { .. })]));
}

#[test]
fn a_join_that_is_never_answered_is_tried_again_on_a_new_connection() {
    let mut session = new_session();
    outputs(&mut session);
    session.handle_connected(secs(1));
    outputs(&mut session);
    assert_eq!(session.poll_timeout(), Some(secs(6)));
    session.handle_timeout(secs(6));
    let failure = Failure::JoinTimedOut { limit: secs(5) };
    assert_eq!(
        outputs(&mut session),
        [Output::Close, Output::Event(Event::Disconnected { failure, retry_in: Duration::ZERO }), Output::Connect]
    );
}

#[test]
fn a_handshake_may_take_fifteen_seconds() {
    let limits = Limits { startup: secs(1000), ..Limits::default() };
    let mut session = Session::new(limits, StampSecret::new(SECRET), [3; 32], Duration::ZERO);
    outputs(&mut session);
    assert_eq!(session.poll_timeout(), Some(secs(15)));
    session.handle_timeout(secs(15));
    let failure = Failure::HandshakeTimedOut { limit: secs(15) };
    assert!(outputs(&mut session).contains(&Output::Event(Event::Disconnected { failure, retry_in: Duration::ZERO })));
}

#[test]
fn a_portal_that_takes_and_drops_connections_is_not_asked_in_a_tight_loop() {
    let mut session = ready_session();
    let mut now = secs(1);
    for _ in 0..20 {
        session.handle_failed(now, broken());
        while !outputs(&mut session).contains(&Output::Connect) {
            now = session.poll_timeout().unwrap();
            session.handle_timeout(now);
        }
        make_ready(&mut session, now);
    }
    assert!(now > secs(60), "20 reconnects in {now:?}");
}

#[test]
fn a_connection_that_has_proved_itself_is_retried_at_once() {
    let mut session = ready_session();
    let mut now = Duration::ZERO;
    for _ in 0..20 {
        now += secs(10);
        session.handle_timeout(now);
        let beat = sent(&outputs(&mut session), "heartbeat");
        session.handle_text(now, &reply(&beat));
        session.handle_failed(now, broken());
        assert!(outputs(&mut session).contains(&Output::Connect));
        make_ready(&mut session, now);
    }
}

#[test]
fn retry_after_is_honoured_where_it_means_something() {
    for (status, honoured) in [(429, true), (503, true), (500, false)] {
        let mut session = ready_session();
        session.handle_failed(secs(1), broken());
        outputs(&mut session);
        session.handle_failed(secs(1), Failure::Refused { status, retry_after: Some(secs(30)) });
        let Output::Event(Event::Disconnected { retry_in, .. }) = outputs(&mut session)[0] else { panic!() };
        assert_eq!(retry_in >= secs(30), honoured, "{status}: {retry_in:?}");
        assert_eq!(session.poll_timeout(), Some(secs(1) + retry_in));
    }
}

#[test]
fn what_is_fatal_ends_the_session_at_once() {
    const REFUSED: &str =
        r#"{"topic":"relay","event":"phx_reply","payload":{"status":"error","response":{"reason":"no"}},"ref":"1"}"#;
    const EXPIRED: &str = r#"{"topic":"relay","event":"disconnect","payload":{"reason":"token_expired"}}"#;
    type Case = (fn(&mut Session), Fatal);
    let cases: [Case; 3] = [
        (
            |session| session.handle_failed(secs(1), Failure::Refused { status: 401, retry_after: None }),
            Fatal::Unauthorized,
        ),
        (
            |session| {
                session.handle_connected(secs(1));
                session.handle_text(secs(1), REFUSED);
            },
            Fatal::JoinRefused { reason: "no".to_owned() },
        ),
        (
            |session| {
                session.handle_connected(secs(1));
                session.handle_text(secs(1), EXPIRED);
            },
            Fatal::TokenExpired,
        ),
    ];
    for (act, fatal) in cases {
        let mut session = new_session();
        act(&mut session);
        assert_eq!(outputs(&mut session).last(), Some(&Output::GiveUp(fatal)));
        assert_eq!(session.poll_timeout(), None);
        session.handle_timeout(secs(100_000));
        session.handle_connected(secs(100_000));
        assert_eq!(outputs(&mut session), []);
    }
}

#[test]
fn other_reasons_to_disconnect_are_no_reason_to_give_up() {
    let mut session = ready_session();
    session.handle_text(secs(1), r#"{"topic":"relay","event":"disconnect","payload":{"reason":"deploy"}}"#);
    let failure = Failure::AskedToDisconnect { reason: "deploy".to_owned() };
    let expected = Event::Disconnected { failure, retry_in: Duration::ZERO };
    assert_eq!(outputs(&mut session), [Output::Close, Output::Event(expected), Output::Connect]);

    for event in ["phx_error", "phx_close"] {
        let mut session = ready_session();
        session.handle_text(secs(1), &INIT.replace("init", event));
        assert!(matches!(
            outputs(&mut session)[..],
            [
                Output::Close,
                Output::Event(Event::Disconnected { failure: Failure::ChannelEnded { .. }, .. }),
                Output::Connect
            ]
        ));
    }
}

#[test]
fn nothing_that_is_not_understood_does_harm() {
    let mut session = ready_session();
    for text in
        ["", "garbage", "{}", "[1,2]", r#"{"topic":"x","event":"phx_close"}"#, r#"{"topic":"relay","event":"?"}"#]
    {
        session.handle_text(secs(1), text);
        assert!(matches!(outputs(&mut session)[..], [Output::Event(Event::Ignored { .. })]), "{text}");
    }
}

#[test]
fn without_a_first_init_it_gives_up_after_fifteen_seconds() {
    // Never reached, refused again and again, and accepted without an init.
    let mut unreachable = new_session();
    outputs(&mut unreachable);
    unreachable.handle_timeout(secs(15));
    let last = Some(Failure::HandshakeTimedOut { limit: secs(15) });
    let expected = Fatal::NeverInitialised { limit: secs(15), last };
    assert_eq!(outputs(&mut unreachable), [Output::Close, Output::GiveUp(expected)]);

    let mut refusing = new_session();
    let failure = Failure::Refused { status: 502, retry_after: None };
    let (fatal, at) = run_refusing(&mut refusing, Duration::ZERO, &failure);
    assert_eq!((fatal, at), (Fatal::NeverInitialised { limit: secs(15), last: Some(failure) }, secs(15)));

    let mut silent = new_session();
    outputs(&mut silent);
    silent.handle_connected(secs(1));
    silent.handle_text(secs(1), JOIN_OK);
    silent.handle_timeout(secs(10));
    silent.handle_timeout(secs(15));
    let expected = Fatal::NeverInitialised { limit: secs(15), last: None };
    assert_eq!(outputs(&mut silent).last(), Some(&Output::GiveUp(expected)));
}

/// Fails every attempt until the session gives up.
fn run_refusing(session: &mut Session, mut now: Duration, failure: &Failure) -> (Fatal, Duration) {
    loop {
        while let Some(output) = session.poll_output() {
            match output {
                Output::Connect => session.handle_failed(now, failure.clone()),
                Output::GiveUp(fatal) => return (fatal, now),
                Output::Event(Event::Disconnected { retry_in, .. }) => assert!(retry_in <= secs(60), "{retry_in:?}"),
                other => panic!("{other:?}"),
            }
        }
        now = now.max(session.poll_timeout().unwrap());
        session.handle_timeout(now);
    }
}

#[test]
fn a_partition_is_sat_out_for_a_day_and_no_longer() {
    let mut session = ready_session();
    let lost = secs(3 * 24 * 3600);
    session.handle_failed(lost, broken());
    let failure = Failure::Refused { status: 503, retry_after: None };
    let (fatal, at) = run_refusing(&mut session, lost, &failure);
    assert_eq!(fatal, Fatal::Partitioned { limit: secs(24 * 3600), last: Some(failure) });
    assert_eq!(at, lost + secs(24 * 3600));
}

#[test]
fn a_week_with_a_portal_that_comes_and_goes() {
    // Up for 6 hours, away for 20: each absence is survivable, all together are longer than a day.
    let (up, period, week) = (secs(6 * 3600), secs(26 * 3600).as_secs(), secs(7 * 24 * 3600));
    let is_up = |now: Duration| secs(now.as_secs() % period) < up;
    let mut session = new_session();
    let (mut now, mut attempts, mut ready, mut connected_until) = (Duration::ZERO, 0_u64, 0, None::<Duration>);
    while now < week {
        for output in outputs(&mut session) {
            match output {
                Output::Connect if is_up(now) => {
                    let since = now.as_secs() % period;
                    connected_until = Some(now + up.saturating_sub(secs(since)));
                    session.handle_connected(now);
                }
                Output::Connect => {
                    attempts += 1;
                    session.handle_failed(now, Failure::Connect { problem: "refused".to_owned() });
                }
                Output::Send(text) if text.contains("phx_join") => {
                    session.handle_text(now, &reply(&sent(&[Output::Send(text)], "phx_join")));
                    session.handle_text(now, INIT);
                }
                Output::Send(text) => session.handle_text(now, &reply(&sent(&[Output::Send(text)], "heartbeat"))),
                Output::Event(Event::Ready) => ready += 1,
                Output::Event(_) => {}
                Output::Close | Output::GiveUp(_) => panic!("{output:?} at {now:?}"),
            }
        }
        if !session.outputs.is_empty() {
            continue;
        }
        let next = session.poll_timeout().unwrap();
        match connected_until {
            Some(until) if until <= next => {
                now = until;
                connected_until = None;
                session.handle_failed(now, broken());
            }
            _ => {
                now = next;
                session.handle_timeout(now);
            }
        }
    }
    assert_eq!(ready, 7, "once at the start and once after each absence");
    // 20 s to 60 s apart: between 1,200 and 3,600 attempts in each of the six absences.
    assert!((6 * 1_200..6 * 3_700).contains(&attempts), "{attempts} attempts");
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

#[derive(Clone, Debug)]
enum Step {
    Wait(u32),
    Timer,
    Connected,
    Failed(Option<u16>),
    Text(String),
    AnswerLast,
    Leave,
}

fn step() -> impl Strategy<Value = Step> {
    let texts =
        prop::sample::select(vec![INIT.to_owned(), JOIN_OK.to_owned(), reply("2"), INIT.replace("init", "phx_error")]);
    prop_oneof![
        4 => (0..70_000_u32).prop_map(Step::Wait),
        6 => Just(Step::Timer),
        4 => Just(Step::Connected),
        2 => prop::option::of(prop::sample::select(vec![401_u16, 429, 500, 503])).prop_map(Step::Failed),
        3 => texts.prop_map(Step::Text),
        1 => any::<String>().prop_map(Step::Text),
        6 => Just(Step::AnswerLast),
        1 => prop::bool::weighted(0.1).prop_map(|leave| if leave { Step::Leave } else { Step::Timer }),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_contract_holds(steps in prop::collection::vec(step(), 0..200), seed in any::<[u8; 32]>()) {
        let mut session = Session::new(Limits::default(), StampSecret::new(SECRET), seed, Duration::ZERO);
        let (mut now, mut ended, mut last_sent) = (Duration::ZERO, false, None::<String>);
        // Whether the owner has a connection or an attempt: it is told to connect only when it has neither.
        let mut link = false;
        let mut references = BTreeSet::new();
        for step in steps {
            match step {
                Step::Wait(millis) => now += Duration::from_millis(millis.into()),
                Step::Timer => {
                    now = now.max(session.poll_timeout().unwrap_or(now));
                    session.handle_timeout(now);
                    prop_assert!(session.poll_timeout().is_none_or(|next| next > now));
                }
                Step::Connected if link => session.handle_connected(now),
                Step::Failed(status) if link => {
                    link = false;
                    let failure = status.map_or_else(broken, |status| Failure::Refused { status, retry_after: Some(secs(5)) });
                    session.handle_failed(now, failure);
                }
                Step::Text(text) => session.handle_text(now, &text),
                Step::AnswerLast => {
                    if let Some(reference) = &last_sent {
                        session.handle_text(now, &reply(reference));
                    }
                }
                Step::Leave => session.handle_leave(),
                Step::Connected | Step::Failed(_) => {}
            }
            for output in outputs(&mut session) {
                prop_assert!(!ended, "{output:?} after the end");
                match output {
                    Output::Connect => {
                        prop_assert!(!link, "connect twice");
                        link = true;
                    }
                    Output::Close => {
                        prop_assert!(link, "close without a connection");
                        link = false;
                    }
                    Output::Send(text) => {
                        prop_assert!(link, "send without a connection");
                        let message: serde_json::Value = serde_json::from_str(&text).unwrap();
                        let reference = message["ref"].as_str().unwrap().to_owned();
                        prop_assert!(references.insert(reference.clone()), "reference used twice");
                        last_sent = Some(reference);
                    }
                    Output::GiveUp(_) => ended = true,
                    Output::Event(_) => {}
                }
            }
            prop_assert!(session.poll_timeout().is_some() || !link, "a connection nobody looks after");
        }
    }
}
