//! The playground's examples replay without a difference, and show what their texts say.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[cfg(not(target_arch = "wasm32"))]
use relay_replay::RECORDINGS;
use relay_replay::{EXAMPLES, Flags, Kind, Mode, Row, Session, View};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

struct Story {
    trace: Vec<u8>,
    session: Session,
}

fn open(trace: Vec<u8>) -> Story {
    let mut session = Session::new();
    session.push(&trace);
    session.end();
    assert_eq!((session.error(), session.warnings().len()), (None, 0));
    Story { trace, session }
}

fn story(name: &str) -> Story {
    open(EXAMPLES.iter().find(|example| example.name == name).unwrap().record().unwrap())
}

impl Story {
    fn frame(&self, row: &Row) -> &[u8] {
        let at = usize::try_from(row.file_offset).unwrap();
        &self.trace[at..at + usize::try_from(row.captured).unwrap()]
    }

    fn last(&self) -> u32 {
        u32::try_from(self.session.rows().len() - 1).unwrap()
    }

    fn select(&self, filter: &str) -> Vec<u32> {
        self.session.filter(&filter.parse().unwrap())
    }

    /// The titles of a row's explanations.
    fn titles(&self, row: u32) -> Vec<String> {
        let rows = self.session.rows();
        let found = &rows[usize::try_from(row).unwrap()];
        let related = rows.get(usize::try_from(found.related).unwrap()).map_or(&[][..], |row| self.frame(row));
        let explanations = self.session.explain(row, self.frame(found), related);
        explanations.into_iter().map(|explanation| explanation.title).collect()
    }

    /// The titles of all refusals and drops.
    fn troubles(&self) -> Vec<String> {
        let rows = self.select("rejected|dropped -error");
        rows.into_iter().flat_map(|row| self.titles(row)).collect()
    }
}

#[test]
fn every_example_replays_without_a_difference() {
    for example in EXAMPLES {
        let story = story(example.name);
        assert_eq!(story.session.mode(), Mode::Replay, "{}", example.name);
        assert_eq!(story.session.differences(), [], "{}", example.name);
        for (index, row) in story.session.rows().iter().enumerate() {
            let sent = row.flags.contains(Flags::OUTBOUND);
            assert!(!sent || row.related != Row::NONE, "{} row {index} has no cause", example.name);
        }
    }
}

#[test]
fn an_example_in_pieces_of_any_size_is_the_same() {
    let whole = story("good-session");
    for piece in [1, 7, 100] {
        let mut session = Session::new();
        whole.trace.chunks(piece).for_each(|piece| session.push(piece));
        session.end();
        assert!(session.rows() == whole.session.rows());
        assert_eq!(session.view_at(whole.last()), whole.session.view_at(whole.last()));
    }
}

#[test]
fn a_good_session_ends_clean() {
    let story = story("good-session");
    let mut view = story.session.view_at(story.last());
    assert!(view.allocations.is_empty());
    assert_eq!((view.counters.packets_up, view.counters.packets_down), (8, 8));
    assert_eq!(view.counters.errors.remove(&401), Some(1));
    assert!(view.counters.errors.is_empty(), "{view:?}");
    assert_eq!(view.counters.drops.get("unknown peer"), Some(&1));
    assert_eq!(story.troubles(), ["Dropped: the peer was not invited"]);
}

#[test]
fn seeking_gives_the_same_state_as_watching() {
    for example in EXAMPLES {
        let story = story(example.name);
        let mut watched = View::default();
        for row in 0..=story.last() {
            let at = story.session.rows()[usize::try_from(row).unwrap()].unix_nanos;
            let mut before = story.session.view_before(row);
            before.unix_nanos = watched.unix_nanos;
            assert_eq!(before, watched, "{} before row {row}", example.name);
            for change in story.session.changes(row) {
                watched.apply(at, change);
            }
            watched.unix_nanos = at;
            assert_eq!(story.session.view_at(row), watched, "{} row {row}", example.name);
        }
    }
}

#[test]
fn wrong_credentials_are_told_apart() {
    assert_eq!(
        story("wrong-password").troubles(),
        [
            "401: the password is wrong",
            "401: the password is wrong",
            "401: the credentials expired 3 minutes 5 seconds ago",
        ]
    );
}

#[test]
fn a_stale_nonce_is_renewed() {
    let story = story("stale-nonce");
    assert_eq!(story.select("438 request").len(), 1);
    assert!(story.troubles().contains(&"438: the nonce is stale".to_owned()));
    assert_eq!(story.session.view_at(story.last()).allocations.len(), 1);
}

#[test]
fn an_expired_channel_drops_stays_reserved_and_comes_back() {
    let story = story("expired-channel");
    let expired = story.select("internal");
    assert_eq!(story.titles(expired[0]), ["Channel 0x4001 of A1 expired"]);
    let view = story.session.view_at(expired[0]);
    assert!(!view.allocations[&0].channels[&0x4001].bound);
    assert_eq!(story.select("dropped").len(), 2);
    assert_eq!(story.select("400 request channelbind").len(), 1);
    assert!(story.session.view_at(story.last()).allocations[&0].channels[&0x4001].bound);
}

#[test]
fn two_clients_cross_inside_the_relay() {
    let story = story("two-clients");
    assert_eq!(story.session.view_at(story.last()).counters.packets_up, 9);
    let through_a_relayed_address: Vec<_> = story.session.rows().iter().filter(|row| row.kind == Kind::Data).collect();
    assert_eq!(through_a_relayed_address.len(), 1, "only what is sent after Alice has left");
    assert_eq!(story.select("dropped").len(), 1);
}

#[test]
fn a_hopping_port_replaces_the_allocation() {
    let story = story("port-hopping-nat");
    let view = story.session.view_at(story.last());
    assert_eq!(view.allocations.keys().collect::<Vec<_>>(), [&1]);
    assert_eq!(view.allocations[&1].client, "192.0.2.10:61999".parse().unwrap());
    let troubles = story.troubles();
    assert!(troubles.iter().any(|trouble| trouble.starts_with("437")), "{troubles:?}");
}

#[test]
fn permissions_come_and_go_and_count_what_goes_by_them() {
    let story = story("send-indications");
    let peer = "198.51.100.30".parse().unwrap();
    let permitted = story.select("createpermission request");
    let view = story.session.view_at(*permitted.last().unwrap());
    assert_eq!(view.allocations[&0].permissions[&peer].expires_at, view.unix_nanos + 300_000_000_000);
    assert_eq!(view.allocations[&0].permissions[&peer].packets, 0, "one that ended and was granted anew");
    let ended = story.select("internal");
    assert_eq!(story.titles(ended[0]), ["Permission of A1 for 198.51.100.30 ended"]);
    assert_eq!(story.session.view_before(ended[0]).allocations[&0].permissions[&peer].packets, 11);
    assert!(story.session.view_at(ended[0]).allocations[&0].permissions.is_empty());
    let counters = story.session.view_at(story.last()).counters;
    assert_eq!((counters.packets_up, counters.packets_down, counters.bytes_up), (6, 7, 36));
    assert_eq!((counters.drops["no permission"], counters.drops["unknown peer"]), (2, 2));
}

#[test]
fn indications_are_application_data_and_are_found_by_their_peer() {
    let story = story("send-indications");
    let count = |filter: &str| story.select(filter).len();
    assert_eq!((count("send"), count("dataindication"), count("indication")), (8, 7, 15));
    assert_eq!(count("data indication"), 15);
    assert_eq!(count("-data indication"), 0);
    // Data indications from a peer's other port, with the datagram that caused one of them.
    assert_eq!(count("198.51.100.30:41001"), 2);
    assert_eq!(count("198.51.100.30 createpermission request"), count("createpermission request"));
}

#[test]
fn icmp_errors_are_told_and_explained_on_both_sides_of_the_relay() {
    let story = story("unreachable-peer");
    let inside = story.select("internal");
    assert_eq!(story.titles(inside[0]), ["An ICMP error came back from the peer's side"]);
    let told = story.session.rows()[usize::try_from(inside[0]).unwrap()].related;
    assert_eq!(story.titles(told), ["An ICMP error came back from the peer's side"]);
    assert_eq!(inside.len(), 2);
    assert_eq!(story.select("dataindication").len(), 3, "two that tell of errors, and one with data");
}

#[test]
fn a_channel_relays_on_when_its_permission_has_ended() {
    let story = story("indications-then-channel");
    let ended = story.select("internal")[0];
    let view = story.session.view_at(ended);
    assert!(view.allocations[&0].permissions.is_empty() && view.allocations[&0].channels[&0x4001].bound);
    let after = |filter: &str| story.select(filter).into_iter().filter(|row| *row > ended).count();
    assert_eq!((after("channeldata"), after("dropped"), after("send")), (5, 1, 2));
}

/// The bits of "pong" begin like a channel number.
#[test]
fn what_peers_send_is_application_data_whatever_it_looks_like() {
    let story = story("good-session");
    for row in story.select("data -channeldata") {
        let found = &story.session.rows()[usize::try_from(row).unwrap()];
        let fields = story.session.dissect(row, story.frame(found));
        assert_eq!(fields.last().unwrap().name, "Application data", "row {row}");
    }
}

#[test]
fn both_families_are_allocated() {
    let story = story("dual-stack");
    let created = story.select("allocate success")[0];
    let relayed = &story.session.view_at(created).allocations[&0].relayed;
    assert_eq!(relayed.iter().map(|relayed| relayed.address.is_ipv4()).collect::<Vec<_>>(), [true, false]);
}

/// Without the secret the same traces are inspected, and what is inferred is correct.
#[test]
fn inspection_infers_what_replay_knows() {
    for example in EXAMPLES {
        let replayed = story(example.name);
        let needle = b",\"auth_secret\":";
        let mut trace = replayed.trace.clone();
        let at = trace.windows(needle.len()).position(|window| window == needle).unwrap();
        trace[at + 2] = b'x';
        let inspected = open(trace);
        assert!(matches!(inspected.session.mode(), Mode::Inspection(_)));
        assert!(inspected.session.differences().is_empty());
        let addresses = |view: &View| {
            let allocations = view.allocations.values();
            allocations
                .map(|allocation| {
                    let relayed: Vec<_> = allocation.relayed.iter().map(|relayed| relayed.address).collect();
                    let channels: Vec<_> = allocation.channels.keys().copied().collect();
                    // Expiry times differ: an inspection counts from the response, which is a little later.
                    let permissions = allocation.permissions.iter().map(|(address, found)| (*address, found.packets));
                    (allocation.client, relayed, channels, permissions.collect::<Vec<_>>())
                })
                .collect::<Vec<_>>()
        };
        let [mut left, right] = [&replayed, &inspected].map(|story| addresses(&story.session.view_at(story.last())));
        if example.name == "port-hopping-nat" {
            // An inspection cannot know this relay's rule that a username may have only one allocation.
            left.splice(0..0, right[..1].iter().cloned());
        }
        assert_eq!(left, right, "{}", example.name);
        let errors = |story: &Story| story.session.view_at(story.last()).counters.errors;
        assert_eq!(errors(&replayed), errors(&inspected), "{}", example.name);
    }
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn the_committed_examples_are_what_the_generator_writes() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web-playground/public/examples");
    for example in EXAMPLES {
        let path = folder.join(format!("{}.pcapng", example.name));
        let committed = std::fs::read(&path).unwrap();
        assert!(
            committed == example.record().unwrap(),
            "{} is out of date: cargo run -p relay-replay --example record_examples -- web-playground/public/examples",
            path.display()
        );
    }
    // These are links to recordings, which another test replays.
    for recording in RECORDINGS {
        assert!(folder.join(format!("{}.pcapng", recording.name)).is_file(), "{} is missing", recording.name);
    }
    let index = std::fs::read_to_string(folder.join("index.json")).unwrap();
    let names = EXAMPLES.iter().map(|example| example.name).chain(RECORDINGS.iter().map(|recording| recording.name));
    let listed = index.lines().filter_map(|line| line.trim().strip_prefix("\"name\": \"")?.split('"').next());
    assert!(listed.eq(names), "index.json is out of date");
}
