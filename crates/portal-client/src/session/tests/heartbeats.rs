use super::*;

#[test]
fn heartbeats_are_sent_every_ten_seconds_whatever_else_is_said() {
    let mut session = ready_session();
    let mut beats = Vec::new();
    // The portal sends a message every 0.7 s, and the timer is handled up to 0.7 s late.
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
