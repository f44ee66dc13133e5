//! "Why does this client not connect?": the explanations of refusals and drops.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use packet_trace::{Datagram, Direction, Limits, TraceHeader, TraceWriter};
use relay_replay::{
    Allocate, ClientId, Explanation, Family, Mode, Request, Row, Session, World, WorldConfig, WorldError,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const CLIENT: &str = "192.0.2.10:50000";
const PEER: &str = "198.51.100.30:41000";
const PEER_V6: &str = "[2001:db8:2::30]:41000";
const LISTENER: &str = "203.0.113.1:3478";
const WITH_INDICATIONS: WorldConfig = WorldConfig { indications: true, has_ipv4: true };
const CHANNELS_ONLY: WorldConfig = WorldConfig { indications: false, has_ipv4: true };

fn row_of(session: &Session, index: u32) -> Row {
    session.rows()[usize::try_from(index).unwrap()]
}

fn frame<'a>(trace: &'a [u8], row: &Row) -> &'a [u8] {
    let at = usize::try_from(row.file_offset).unwrap();
    &trace[at..at + usize::try_from(row.captured).unwrap()]
}

/// All explanations of a row.
fn explain(session: &Session, trace: &[u8], index: u32) -> Vec<Explanation> {
    let row = row_of(session, index);
    let related = if row.related == Row::NONE { &[][..] } else { frame(trace, &row_of(session, row.related)) };
    session.explain(index, frame(trace, &row), related)
}

fn open(trace: &[u8]) -> Session {
    let mut session = Session::new();
    session.push(trace);
    session.end();
    assert_eq!((session.error(), session.differences()), (None, &[][..]));
    session
}

/// The explanations of the last packet that matches `filter`, in a session of a client with an allocation.
fn of(
    config: WorldConfig,
    filter: &str,
    play: impl FnOnce(&mut World, ClientId) -> Result<(), WorldError>,
) -> Explanation {
    let mut world = World::with_config([7; 32], 1_800_000_000, config).unwrap();
    let client = world.add_client(CLIENT.parse().unwrap());
    world.request(client, Request::Allocate(Allocate::default())).unwrap();
    play(&mut world, client).unwrap();
    let trace = world.finish();
    let session = open(&trace);
    let index = *session.filter(&filter.parse().unwrap()).last().unwrap();
    explain(&session, &trace, index).remove(0)
}

/// Checks that an explanation has this title and these words, and gives advice.
#[track_caller]
fn says(explanation: &Explanation, title: &str, words: &[&str]) {
    assert_eq!(explanation.title, title);
    let all = format!("{} {}", explanation.text, explanation.advice.as_deref().unwrap_or_default());
    for word in words {
        assert!(all.contains(word), "`{word}` is not in: {all}");
    }
    assert!(explanation.advice.is_some(), "{title}: nothing is said of what to do");
}

fn permit(peers: &[&str]) -> Request {
    Request::CreatePermission { peers: peers.iter().map(|peer| peer.parse().unwrap()).collect() }
}

#[test]
fn a_send_indication_while_indications_are_off_names_the_option() {
    let said = of(CHANNELS_ONLY, "dropped", |world, client| {
        world.request(client, permit(&[PEER]))?;
        world.send_to(client, PEER.parse().unwrap(), b"check")
    });
    says(&said, "Dropped: indications are switched off", &[PEER, "--indications on", "INDICATIONS=on", "Browsers"]);
    let granted = of(CHANNELS_ONLY, "createpermission request", |world, client| world.request(client, permit(&[PEER])));
    assert_eq!(granted.title, "The permission was granted");
    assert!(granted.text.contains("--indications"), "{}", granted.text);
}

#[test]
fn a_send_indication_without_a_permission_says_for_whom_it_is_missing() {
    let said = of(WITH_INDICATIONS, "dropped", |world, client| world.send_to(client, PEER.parse().unwrap(), b"check"));
    says(&said, "Dropped: no permission for the peer", &[PEER, "CreatePermission", "5 minutes"]);
}

/// As for a recording that began while the relay was running.
#[test]
fn the_same_is_said_where_the_recording_cannot_be_replayed() {
    for (config, title) in [
        (CHANNELS_ONLY, "Dropped: indications are switched off"),
        (WITH_INDICATIONS, "Dropped: no permission for the peer"),
    ] {
        let mut world = World::with_config([7; 32], 1_800_000_000, config).unwrap();
        let client = world.add_client(CLIENT.parse().unwrap());
        world.request(client, Request::Allocate(Allocate::default())).unwrap();
        world.request(client, permit(&["198.51.100.99:1"])).unwrap();
        world.send_to(client, PEER.parse().unwrap(), b"check").unwrap();
        let mut trace = world.finish();
        // The reader of the JSON header ignores an unknown key.
        let needle = b",\"auth_secret\":";
        let at = trace.windows(needle.len()).position(|window| window == needle).unwrap();
        trace[at + 2] = b'x';
        let session = open(&trace);
        assert!(matches!(session.mode(), Mode::Inspection(_)), "{:?}", session.mode());
        let dropped = session.filter(&"dropped".parse().unwrap());
        assert_eq!(explain(&session, &trace, dropped[0])[0].title, title);
        assert_eq!(session.troubles().len(), 1);
    }
}

#[test]
fn a_peer_without_a_permission_was_not_invited() {
    let said = of(WITH_INDICATIONS, "dropped", |world, client| {
        world.send_from_peer(PEER.parse().unwrap(), client, b"let me in")
    });
    says(&said, "Dropped: the peer was not invited", &[PEER, "CreatePermission"]);
}

#[test]
fn another_client_that_has_not_invited_this_one_is_told_from_a_peer() {
    let said = of(WITH_INDICATIONS, "dropped", |world, client| {
        let other = world.add_client("192.0.2.20:50000".parse().unwrap());
        world.request(other, Request::Allocate(Allocate::default()))?;
        let relayed = world.relayed(other)?[0];
        world.request(client, permit(&[&relayed.to_string()]))?;
        world.send_to(client, relayed, b"check")
    });
    says(&said, "Dropped: the other client has not invited this one", &["another client of this relay", "permission"]);
}

#[test]
fn a_send_indication_to_another_family_says_how_to_get_it() {
    let said =
        of(WITH_INDICATIONS, "dropped", |world, client| world.send_to(client, PEER_V6.parse().unwrap(), b"check"));
    let words = [PEER_V6, "no IPv6 address", "--default-address-family client"];
    says(&said, "Dropped: the peer is of another address family", &words);
}

/// A Send indication to [`PEER`] with another attribute in place of DATA, or behind it.
fn odd_send(attribute: u16, replaces_data: bool) -> Vec<u8> {
    let mut message = b"\0\x16\0\0\x21\x12\xa4\x42transaction!\0\x12\0\x08\0\x01\x81\x3a\xe7\x21\xc0\x5c".to_vec();
    if !replaces_data {
        message.extend(b"\0\x13\0\x04data");
    }
    message.extend(attribute.to_be_bytes());
    message.extend([0, 0]);
    let length = u16::try_from(message.len() - 20).unwrap();
    message[2..4].copy_from_slice(&length.to_be_bytes());
    message
}

#[test]
fn a_send_indication_that_asks_for_too_much_names_the_attribute() {
    let said = of(WITH_INDICATIONS, "dropped", |world, client| {
        world.request(client, permit(&[PEER]))?;
        world.send_raw(client, odd_send(0x0033, false))
    });
    says(&said, "Dropped: it asks for what the relay cannot do", &["attribute 0x0033"]);
}

#[test]
fn a_send_indication_without_data_is_the_clients_fault() {
    let said = of(WITH_INDICATIONS, "dropped", |world, client| world.send_raw(client, odd_send(0x8022, true)));
    says(&said, "Dropped: where to, or what, is missing", &["DATA", "client"]);
}

#[test]
fn a_forbidden_peer_is_named_and_that_the_others_have_no_permission_either() {
    let said =
        of(WITH_INDICATIONS, "403 request", |world, client| world.request(client, permit(&["224.0.0.1:1000", PEER])));
    says(
        &said,
        "403: the peer may not be relayed to",
        &["224.0.0.1:1000", "multicast", "for all its addresses", "Chromium ends"],
    );
    let bind = Request::ChannelBind { channel: 0x4000, peer: "224.0.0.1:1000".parse().unwrap() };
    let said = of(WITH_INDICATIONS, "403 request", |world, client| world.request(client, bind));
    says(&said, "403: the peer may not be relayed to", &["224.0.0.1:1000", "Chromium ends"]);
}

#[test]
fn a_permission_for_another_family_says_how_to_get_it() {
    let said = of(WITH_INDICATIONS, "443 request", |world, client| world.request(client, permit(&[PEER_V6])));
    says(
        &said,
        "443: the peer is of another address family",
        &[PEER_V6, "--default-address-family client", "Chromium ends"],
    );
}

#[test]
fn too_many_permissions_says_how_many_there_may_be() {
    let peers = (0..=4096_u32).map(|number| (std::net::Ipv4Addr::from(0x0a00_0000 + number), 9).into()).collect();
    let said =
        of(WITH_INDICATIONS, "508 request", |world, client| world.request(client, Request::CreatePermission { peers }));
    says(&said, "508: too many permissions", &["4096", "5 minutes"]);
}

#[test]
fn a_channel_that_is_taken_says_that_chromium_gives_up() {
    let bind = |peer: &str| Request::ChannelBind { channel: 0x4000, peer: peer.parse().unwrap() };
    let said = of(WITH_INDICATIONS, "400 request", |world, client| {
        world.request(client, bind(PEER))?;
        world.request(client, bind("198.51.100.31:41000"))
    });
    says(&said, "400: the channel number is taken", &["Chromium ends"]);
}

#[test]
fn a_browser_at_an_ipv6_relay_that_gives_ipv4_is_told_the_option() {
    let config = WorldConfig { has_ipv4: false, ..WITH_INDICATIONS };
    let said = of(config, "440 request", |_, _| Ok(()));
    let words = ["Browsers never ask", "no IPv4 address", "--default-address-family client"];
    says(&said, "440: the relay has no address of this family", &words);
    let asks = Allocate { family: Some(Family::V4), ..Allocate::default() };
    let said = of(config, "440 request", |world, client| world.request(client, Request::Allocate(asks)));
    says(&said, "440: the relay has no address of this family", &["--public-ip4-addr"]);
}

#[test]
fn an_allocation_of_another_family_than_the_clients_is_remarked() {
    let mut world = World::with_config([7; 32], 1_800_000_000, WITH_INDICATIONS).unwrap();
    let client = world.add_client("[2001:db8:1::10]:50000".parse().unwrap());
    world.request(client, Request::Allocate(Allocate::default())).unwrap();
    let trace = world.finish();
    let session = open(&trace);
    let said = explain(&session, &trace, session.filter(&"allocate success".parse().unwrap())[0]).remove(0);
    assert!(said.text.contains("--default-address-family"), "{}", said.text);
}

#[test]
fn a_renewed_credential_is_another_username() {
    let said = of(WITH_INDICATIONS, "441 request", |world, client| {
        world.set_expiry(client, 7200)?;
        world.request(client, Request::Refresh { lifetime: None })
    });
    says(&said, "441: wrong credentials", &["another username"]);
}

#[test]
fn an_expired_credential_says_since_when() {
    let said = of(WITH_INDICATIONS, "401 request rejected", |world, client| {
        world.set_expiry(client, -60)?;
        world.request(client, Request::Refresh { lifetime: None })
    });
    says(&said, "401: the credentials expired 1 minute ago", &["clocks"]);
}

/// A capture without a secret, with these datagrams from the first address to the second.
fn capture(datagrams: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = TraceWriter::new(TraceHeader::example(), Limits::default(), &mut file);
    for (source, destination, payload) in datagrams {
        let datagram = Datagram { source: source.parse().unwrap(), destination: destination.parse().unwrap(), payload };
        let direction = if *source == LISTENER { Direction::Outbound } else { Direction::Inbound };
        let _ = writer.packet(0, 1_000_000, direction, datagram, &mut file);
    }
    writer.finish(&mut file);
    file
}

#[test]
fn a_request_without_an_answer_is_said_to_have_none_and_its_copies_are_tied_to_it() {
    let request = b"\0\x03\0\x08\x21\x12\xa4\x42transaction!\0\x19\0\x04\x11\0\0\0";
    let trace = capture(&[(CLIENT, LISTENER, request), (CLIENT, LISTENER, request)]);
    let session = open(&trace);
    says(&explain(&session, &trace, 0)[0], "There is no answer", &["firewall", "port"]);
    let again = &explain(&session, &trace, 1)[0];
    assert_eq!(again.title, "The client sent this request again");
    assert!(again.text.contains("packet 1"), "{}", again.text);
}

#[test]
fn an_icmp_error_is_put_into_words() {
    let start = b"\0\x17\0\x18\x21\x12\xa4\x42transaction!\0\x12\0\x08\0\x01\x81\x3a\xe7\x21\xc0\x5c\x80\x04\0\x08";
    for (value, words) in [
        (*b"\0\0\x06\x03\0\0\0\0", "nobody listens at the peer's port"),
        (*b"\0\0\x06\x04\0\0\x05\x00", "too big"),
        (*b"\0\0\x06\x0d\0\0\0\0", "firewall"),
        (*b"\0\0\x03\x03\0\0\0\0", "nobody listens at the peer's port"),
    ] {
        let trace = capture(&[(LISTENER, CLIENT, &[&start[..], &value].concat())]);
        let session = open(&trace);
        let said = &explain(&session, &trace, 0)[0];
        says(said, "An ICMP error came back from the peer's side", &[PEER, words]);
    }
}
