//! Portals that refuse, break off, talk nonsense, or fall silent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use portal_client::{Event, Failure, Fatal, Limits};
use serde_json::json;
use support::{Bytes, Connection, Portal, Relay, Transport, limits, no_hang};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};
use tokio_tungstenite::tungstenite::{
    Message,
    handshake::derive_accept_key,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

over_tcp_and_tls! {
    a_portal_that_refuses_connections_is_tried_again
    a_reset_in_the_middle_of_a_frame_leads_to_a_rejoin_with_the_same_secret
    an_end_without_a_close_frame_leads_to_a_reconnect
    a_close_frame_is_reported_with_its_reason
    nonsense_and_news_do_no_harm
    bytes_that_are_not_web_socket_end_the_connection
    a_message_above_64_kib_ends_the_connection_whole_or_in_parts
    a_join_that_is_never_answered_is_repeated_on_a_new_connection
    a_portal_that_stops_answering_heartbeats_is_left
    a_portal_that_floods_and_never_reads_is_left
    a_portal_that_takes_the_connection_and_says_nothing_is_left
    what_is_not_http_is_a_failed_handshake
    a_401_is_final
    a_401_is_final_also_after_years_of_service
    a_429_is_waited_out
    other_statuses_are_retried
    a_refused_join_is_final
    an_expired_token_is_final_and_other_disconnects_are_not
    a_crashed_channel_is_joined_again
    a_portal_that_stays_away_too_long_is_given_up
}

const SOON: Duration = Duration::from_millis(50);

async fn ready(transport: Transport) -> (Portal, Relay, Connection) {
    let portal = Portal::bind(transport).await;
    let mut relay = Relay::start(&portal, limits());
    let connection = portal.accept_ready().await;
    relay.until_ready().await;
    (portal, relay, connection)
}

/// A relay whose WebSocket handshake is done and whose bytes a test writes itself.
async fn ready_for_bytes(transport: Transport) -> (Portal, Relay, Box<dyn Bytes>) {
    let portal = Portal::bind(transport).await;
    let mut relay = Relay::start(&portal, limits());
    let (mut tcp, key) = portal.accept_request().await;
    let accept = derive_accept_key(key.as_bytes());
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    tcp.write_all(response.as_bytes()).await.unwrap();
    assert_eq!(relay.event().await, Event::Connected);
    (portal, relay, tcp)
}

async fn a_portal_that_refuses_connections_is_tried_again(transport: Transport) {
    let portal = Portal::bind(transport).await;
    let (url, roots, address) = (portal.url(), portal.roots(), portal.listener.local_addr().unwrap());
    let Portal { authority, listener } = portal;
    drop(listener);
    let mut relay = Relay::start_at(&url, roots, limits());
    for attempt in 0..2 {
        let (failure, retry_in) = relay.until_disconnected().await;
        assert!(
            matches!(&failure, Failure::Connect { problem } if problem.contains(&address.to_string())),
            "{failure}"
        );
        assert_eq!(retry_in == Duration::ZERO, attempt == 0);
    }
    let portal = Portal { authority, listener: TcpListener::bind(address).await.unwrap() };
    let _connection = portal.accept_ready().await;
    relay.until_ready().await;
}

async fn a_reset_in_the_middle_of_a_frame_leads_to_a_rejoin_with_the_same_secret(transport: Transport) {
    let (portal, mut relay, mut tcp) = ready_for_bytes(transport).await;
    // The head of a text message of 100 bytes, and ten of them.
    tcp.write_all(b"\x81\x64{\"topic\":\"").await.unwrap();
    tcp.flush().await.unwrap();
    drop(tcp);
    let (failure, retry_in) = relay.until_disconnected().await;
    assert!(matches!(failure, Failure::Broken { .. }), "{failure}");
    assert_eq!(retry_in, Duration::ZERO);
    // It asserts that the join holds the secret.
    let _connection = portal.accept_ready().await;
    relay.until_ready().await;
}

async fn an_end_without_a_close_frame_leads_to_a_reconnect(transport: Transport) {
    let (portal, mut relay, connection) = ready(transport).await;
    drop(connection);
    assert!(matches!(relay.until_disconnected().await.0, Failure::Broken { .. }));
    let _connection = portal.accept_ready().await;
    relay.until_ready().await;
}

async fn a_close_frame_is_reported_with_its_reason(transport: Transport) {
    let (portal, mut relay, mut connection) = ready(transport).await;
    let frame = CloseFrame { code: CloseCode::Restart, reason: "rolling\nupdate".into() };
    connection.stream.send(Message::Close(Some(frame))).await.unwrap();
    let expected = Failure::Closed { problem: r"1012 rolling\nupdate".to_owned() };
    assert_eq!(relay.until_disconnected().await.0, expected);
    let _connection = portal.accept_ready().await;
    relay.until_ready().await;
}

async fn nonsense_and_news_do_no_harm(transport: Transport) {
    let (_portal, mut relay, mut connection) = ready(transport).await;
    for text in ["", "nonsense", "{}", "[[[[", "\u{0}", &"[".repeat(60_000)] {
        connection.stream.send(Message::text(text)).await.unwrap();
        assert!(matches!(relay.event().await, Event::Ignored { .. }));
    }
    connection.stream.send(Message::binary(vec![0xff; 1000])).await.unwrap();
    connection.push("presence_diff", json!({"joins": {}, "leaves": {}})).await;
    assert_eq!(relay.event().await, Event::Ignored { what: "unknown event presence_diff".to_owned() });
    connection.stream.send(Message::Ping(vec![1, 2, 3].into())).await.unwrap();
    assert_eq!(no_hang(connection.stream.next()).await.unwrap().unwrap(), Message::Pong(vec![1, 2, 3].into()));
}

async fn bytes_that_are_not_web_socket_end_the_connection(transport: Transport) {
    let too_large = [b"\x81\x7f".as_slice(), &(1_u64 << 40).to_be_bytes()].concat();
    let cases: [(&str, &[u8]); 5] = [
        ("reserved bits", b"\xf1\x00"),
        ("reserved op code", b"\x83\x00"),
        ("masked by the server", b"\x81\x82\x01\x02\x03\x04ab"),
        ("not UTF-8", b"\x81\x02\xff\xfe"),
        ("a frame of 1 TiB", &too_large),
    ];
    for (case, bytes) in cases {
        let (_portal, mut relay, mut tcp) = ready_for_bytes(transport).await;
        tcp.write_all(bytes).await.unwrap();
        let (failure, _) = relay.until_disconnected().await;
        assert!(matches!(failure, Failure::Protocol { .. }), "{case}: {failure}");
    }
}

async fn a_message_above_64_kib_ends_the_connection_whole_or_in_parts(transport: Transport) {
    let (portal, mut relay, mut connection) = ready(transport).await;
    connection.push("news", json!("x".repeat(60_000))).await;
    assert!(matches!(relay.event().await, Event::Ignored { .. }), "a large one is read");
    let _ = connection.stream.send(Message::text("x".repeat(64 * 1024 + 1))).await;
    let (failure, _) = relay.until_disconnected().await;
    assert!(matches!(&failure, Failure::Protocol { problem } if problem.contains("65537")), "{failure}");
    drop((portal, relay));

    let (_portal, mut relay, mut tcp) = ready_for_bytes(transport).await;
    let part = [b"\x7e\xff\xff".as_slice(), &[b'x'; 0xffff]].concat();
    // The relay may hang up before all is written.
    let _ = tcp.write_all(&[b"\x01", part.as_slice(), b"\x00", &part].concat()).await;
    let (failure, _) = relay.until_disconnected().await;
    assert!(matches!(failure, Failure::Protocol { .. }), "{failure}");
}

async fn a_join_that_is_never_answered_is_repeated_on_a_new_connection(transport: Transport) {
    let portal = Portal::bind(transport).await;
    let mut relay = Relay::start(&portal, Limits { join: SOON, ..limits() });
    let mut silent = portal.accept().await;
    assert_eq!(silent.receive().await["event"], "phx_join");
    assert_eq!(relay.until_disconnected().await.0, Failure::JoinTimedOut { limit: SOON });
    assert!(no_hang(silent.stream.next()).await.is_none_or(|result| result.is_err()), "the connection is still there");
}

async fn a_portal_that_stops_answering_heartbeats_is_left(transport: Transport) {
    let portal = Portal::bind(transport).await;
    let heartbeat_interval = Duration::from_millis(20);
    let mut relay = Relay::start(&portal, Limits { heartbeat_interval, ..limits() });
    let mut connection = portal.accept_ready().await;
    relay.until_ready().await;
    for _ in 0..4 {
        assert_eq!(connection.receive().await["event"], "heartbeat");
    }
    assert_eq!(relay.until_disconnected().await.0, Failure::HeartbeatsUnanswered { count: 4 });
    let _connection = portal.accept_ready().await;
    relay.until_ready().await;
}

async fn a_portal_that_floods_and_never_reads_is_left(transport: Transport) {
    let portal = Portal::bind(transport).await;
    let heartbeat_interval = Duration::from_millis(20);
    let mut relay = Relay::start(&portal, Limits { heartbeat_interval, ..limits() });
    let mut connection = portal.accept_ready().await;
    relay.until_ready().await;
    // Each ping wants a pong, and each pong fills the buffers on the way back.
    let flood = async { while connection.stream.send(Message::Ping(vec![0; 125].into())).await.is_ok() {} };
    let left = tokio::select! {
        left = relay.until_disconnected() => left,
        () = flood => relay.until_disconnected().await,
    };
    assert!(matches!(left.0, Failure::HeartbeatsUnanswered { .. } | Failure::Broken { .. }), "{}", left.0);
    drop(connection);
    let _connection = portal.accept_ready().await;
    relay.until_ready().await;
}

async fn a_portal_that_takes_the_connection_and_says_nothing_is_left(transport: Transport) {
    let portal = Portal::bind(transport).await;
    let mut relay = Relay::start(&portal, Limits { handshake: SOON, ..limits() });
    let _silent = portal.accept_tcp().await;
    assert_eq!(relay.until_disconnected().await.0, Failure::HandshakeTimedOut { limit: SOON });
}

async fn what_is_not_http_is_a_failed_handshake(transport: Transport) {
    let portal = Portal::bind(transport).await;
    let mut relay = Relay::start(&portal, limits());
    portal.answer_http("SSH-2.0-OpenSSH_9.2\r\n").await;
    let (failure, _) = relay.until_disconnected().await;
    assert!(matches!(failure, Failure::Handshake { .. }), "{failure}");
}

async fn a_401_is_final(transport: Transport) {
    let portal = Portal::bind(transport).await;
    let relay = Relay::start(&portal, limits());
    portal.answer_http("HTTP/1.1 401 Unauthorized\r\nContent-Length: 13\r\n\r\ninvalid token").await;
    assert_eq!(relay.fatal().await, Fatal::Unauthorized);
}

async fn a_401_is_final_also_after_years_of_service(transport: Transport) {
    let (portal, mut relay, connection) = ready(transport).await;
    drop(connection);
    relay.until_disconnected().await;
    portal.answer_http("HTTP/1.1 401 Unauthorized\r\n\r\n").await;
    assert_eq!(relay.fatal().await, Fatal::Unauthorized);
}

async fn a_429_is_waited_out(transport: Transport) {
    let portal = Portal::bind(transport).await;
    let mut relay = Relay::start(&portal, limits());
    portal.answer_http("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\n\r\n").await;
    let (failure, retry_in) = relay.until_disconnected().await;
    assert_eq!(failure, Failure::Refused { status: 429, retry_after: Some(Duration::from_secs(1)) });
    assert!(retry_in >= Duration::from_secs(1));
    let _connection = portal.accept_ready().await;
    relay.until_ready().await;
}

async fn other_statuses_are_retried(transport: Transport) {
    let portal = Portal::bind(transport).await;
    let mut relay = Relay::start(&portal, limits());
    for (status, reason) in [(503, "Service Unavailable"), (302, "Found"), (404, "Not Found")] {
        portal.answer_http(&format!("HTTP/1.1 {status} {reason}\r\nLocation: /elsewhere\r\n\r\n")).await;
        assert_eq!(relay.until_disconnected().await.0, Failure::Refused { status, retry_after: None });
    }
    let _connection = portal.accept_ready().await;
    relay.until_ready().await;
}

async fn a_refused_join_is_final(transport: Transport) {
    let portal = Portal::bind(transport).await;
    let relay = Relay::start(&portal, limits());
    let mut connection = portal.accept().await;
    let join = connection.receive().await;
    connection.reply(&join, "error").await;
    assert_eq!(relay.fatal().await, Fatal::JoinRefused { reason: "because".to_owned() });
}

async fn an_expired_token_is_final_and_other_disconnects_are_not(transport: Transport) {
    let (portal, mut relay, mut connection) = ready(transport).await;
    connection.push("disconnect", json!({"reason": "rebalance"})).await;
    let asked = Failure::AskedToDisconnect { reason: "rebalance".to_owned() };
    assert_eq!(relay.until_disconnected().await.0, asked);
    let mut connection = portal.accept_ready().await;
    relay.until_ready().await;
    connection.push("disconnect", json!({"reason": "token_expired"})).await;
    assert_eq!(relay.fatal().await, Fatal::TokenExpired);
}

async fn a_crashed_channel_is_joined_again(transport: Transport) {
    let (portal, mut relay, mut connection) = ready(transport).await;
    connection.push("phx_error", json!({})).await;
    assert_eq!(relay.until_disconnected().await.0, Failure::ChannelEnded { event: "phx_error" });
    let _connection = portal.accept_ready().await;
    relay.until_ready().await;
}

async fn a_portal_that_stays_away_too_long_is_given_up(transport: Transport) {
    let portal = Portal::bind(transport).await;
    let partition = Duration::from_millis(200);
    let mut relay = Relay::start(&portal, Limits { partition, ..limits() });
    let connection = portal.accept_ready().await;
    relay.until_ready().await;
    drop((connection, portal));
    let fatal = relay.fatal().await;
    assert!(matches!(fatal, Fatal::Partitioned { limit, last: Some(_) } if limit == partition), "{fatal}");
}
