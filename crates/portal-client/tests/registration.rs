//! A portal that behaves, over TCP and over TLS, promptly and slowly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::time::Duration;

use futures_util::StreamExt as _;
use portal_client::{Event, Failure, Fatal, Limits, TrustedRoots};
use support::{Authority, Portal, Relay, TOKEN, Transport, limits, no_hang};
use tokio::{io::AsyncWriteExt as _, time::sleep};
use tokio_tungstenite::tungstenite::{Message, handshake::derive_accept_key};

over_tcp_and_tls! {
    a_relay_tells_who_it_is_and_is_ready_after_init
    a_slow_portal_is_waited_for
    heartbeats_go_on_and_are_answered
    a_relay_that_leaves_says_good_bye
    leaving_a_portal_that_has_stopped_listening_does_not_hang
}

async fn a_relay_tells_who_it_is_and_is_ready_after_init(transport: Transport) {
    let portal = Portal::bind(transport).await;
    let mut relay = Relay::start(&portal, limits());
    let connection = portal.accept_ready().await;
    assert_eq!(connection.uri.path(), "/relay/websocket");
    assert_eq!(connection.uri.query(), Some("name=relay%20one&ipv4=203.0.113.7&port=3478"));
    assert_eq!(connection.headers["x-authorization"], format!("Bearer {TOKEN}"));
    assert!(connection.headers["user-agent"].to_str().unwrap().contains(" relay/9.8.7 ("));
    assert_eq!(relay.event().await, Event::Connected);
    assert_eq!(relay.event().await, Event::Joined);
    assert_eq!(relay.event().await, Event::Ready);
}

#[tokio::test]
async fn a_portal_with_somebody_elses_certificate_is_not_told_the_token() {
    let ours = Portal::bind(Transport::Tls).await;
    let another = Portal::bind(Transport::Tls).await;
    let misnamed = Portal::bind_as(Some(Authority::for_host("other.example"))).await;
    for (portal, roots) in [(&ours, another.roots()), (&misnamed, misnamed.roots())] {
        let mut relay = Relay::start_at(&portal.url(), roots, limits());
        assert!(portal.accept_bytes().await.is_err(), "the relay took the certificate");
        let (failure, _) = relay.until_disconnected().await;
        assert!(matches!(&failure, Failure::Tls { host, .. } if host == "localhost"), "{failure}");
    }
}

async fn a_slow_portal_is_waited_for(transport: Transport) {
    let portal = Portal::bind(transport).await;
    let mut relay = Relay::start(&portal, limits());
    let (mut tcp, key) = portal.accept_request().await;
    let accept = derive_accept_key(key.as_bytes());
    let frame = |text: &str| {
        let mut frame = vec![0x81, 126];
        frame.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(text.as_bytes());
        frame
    };
    let mut bytes = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into_bytes();
    bytes.extend(frame(r#"{"topic":"relay","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":"1"}"#));
    bytes.extend(frame(r#"{"topic":"relay","event":"init","payload":{}}"#));
    for chunk in bytes.chunks(9) {
        tcp.write_all(chunk).await.unwrap();
        sleep(Duration::from_millis(5)).await;
    }
    relay.until_ready().await;
}

async fn heartbeats_go_on_and_are_answered(transport: Transport) {
    let portal = Portal::bind(transport).await;
    let heartbeat_interval = Duration::from_millis(20);
    let mut relay = Relay::start(&portal, Limits { heartbeat_interval, ..limits() });
    let mut connection = portal.accept_ready().await;
    relay.until_ready().await;
    for _ in 0..30 {
        let beat = connection.receive().await;
        assert_eq!((beat["topic"].as_str(), beat["event"].as_str()), (Some("phoenix"), Some("heartbeat")));
        connection.reply(&beat, "ok").await;
    }
    assert_eq!(relay.leave().await, Ok(()), "thirty beats on one connection");
}

async fn a_relay_that_leaves_says_good_bye(transport: Transport) {
    let portal = Portal::bind(transport).await;
    let mut relay = Relay::start(&portal, limits());
    let mut connection = portal.accept_ready().await;
    relay.until_ready().await;
    let portal_side = async {
        assert_eq!(connection.receive().await["event"], "phx_leave");
        assert!(matches!(no_hang(connection.stream.next()).await, Some(Ok(Message::Close(_)))));
        while no_hang(connection.stream.next()).await.is_some() {}
    };
    let (left, ()) = tokio::join!(relay.leave(), portal_side);
    assert_eq!(left, Ok(()));
}

async fn leaving_a_portal_that_has_stopped_listening_does_not_hang(transport: Transport) {
    let portal = Portal::bind(transport).await;
    let mut relay = Relay::start(&portal, limits());
    let _connection = portal.accept_ready().await;
    relay.until_ready().await;
    assert_eq!(relay.leave().await, Ok(()));
}

#[tokio::test]
async fn leaving_is_possible_at_any_time() {
    let portal = Portal::bind(Transport::Tcp).await;
    let relay = Relay::start(&portal, limits());
    let _silent = portal.accept_tcp().await;
    assert_eq!(relay.leave().await, Ok(()));
}

#[tokio::test]
async fn a_host_without_an_address_is_named() {
    let startup = Duration::from_millis(300);
    let relay = Relay::start_at("ws://portal.invalid", TrustedRoots::default(), Limits { startup, ..limits() });
    let Fatal::NeverInitialised { last: Some(failure), .. } = relay.fatal().await else { panic!("another reason") };
    // A machine without DNS may not get an answer in time.
    assert!(
        matches!(&failure, Failure::Resolve { host, .. } if host == "portal.invalid")
            || matches!(failure, Failure::HandshakeTimedOut { .. }),
        "{failure}"
    );
}
