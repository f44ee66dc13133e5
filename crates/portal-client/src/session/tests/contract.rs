//! Properties that hold for any inputs in any order.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

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
