use super::*;

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
    // A portal that is unreachable, one that always refuses, and one that accepts but sends no init.
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
