//! Alone in its process, since it listens to the log of all that is linked in.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::sync::Mutex;

use support::{Portal, Relay, SECRET, TOKEN, Transport, limits};

static RECORDS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Capture;

impl log::Log for Capture {
    fn enabled(&self, _metadata: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        RECORDS.lock().unwrap().push(format!("{} {} {}", record.level(), record.target(), record.args()));
    }

    fn flush(&self) {}
}

#[tokio::test]
async fn neither_token_nor_secret_is_logged_at_any_level() {
    log::set_logger(&Capture).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    for transport in [Transport::Tcp, Transport::Tls] {
        let portal = Portal::bind(transport).await;
        let mut relay = Relay::start(&portal, limits());
        let _connection = portal.accept_ready().await;
        relay.until_ready().await;
    }
    let records = RECORDS.lock().unwrap();
    assert!(
        records.iter().any(|record| record.contains("Client handshake done")),
        "nothing was captured: {records:#?}"
    );
    for needle in [TOKEN, SECRET, "phx_join"] {
        let leaks: Vec<_> = records.iter().filter(|record| record.contains(needle)).collect();
        assert!(leaks.is_empty(), "{leaks:#?}");
    }
}
