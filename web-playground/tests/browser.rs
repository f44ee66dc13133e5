//! The module in a real browser: what the page's worker calls.
#![cfg(target_arch = "wasm32")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use relay_playground::{Live, Trace};
use serde_json::Value;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

const EXAMPLES: &[(&str, &[u8])] = &[
    ("good-session", include_bytes!("../public/examples/good-session.pcapng")),
    ("wrong-password", include_bytes!("../public/examples/wrong-password.pcapng")),
    ("stale-nonce", include_bytes!("../public/examples/stale-nonce.pcapng")),
    ("expired-channel", include_bytes!("../public/examples/expired-channel.pcapng")),
    ("two-clients", include_bytes!("../public/examples/two-clients.pcapng")),
    ("port-hopping-nat", include_bytes!("../public/examples/port-hopping-nat.pcapng")),
    ("dual-stack", include_bytes!("../public/examples/dual-stack.pcapng")),
    ("send-indications", include_bytes!("../public/examples/send-indications.pcapng")),
    ("indications-then-channel", include_bytes!("../public/examples/indications-then-channel.pcapng")),
    ("unreachable-peer", include_bytes!("../public/examples/unreachable-peer.pcapng")),
    // What the relay itself recorded of real clients.
    ("firefox", include_bytes!("../public/examples/firefox.pcapng")),
    ("chromium", include_bytes!("../public/examples/chromium.pcapng")),
    ("firefox-without-indications", include_bytes!("../public/examples/firefox-without-indications.pcapng")),
    ("chromium-wrong-family", include_bytes!("../public/examples/chromium-wrong-family.pcapng")),
    ("turnutils_uclient", include_bytes!("../../crates/relay-replay/tests/recordings/turnutils_uclient.pcapng")),
    ("aioice", include_bytes!("../../crates/relay-replay/tests/recordings/aioice.pcapng")),
];

fn json(text: Result<String, wasm_bindgen::JsError>) -> Value {
    serde_json::from_str(&text.map_err(wasm_bindgen::JsValue::from).unwrap()).unwrap()
}

fn frame(trace: &Trace, file: &[u8], row: u32) -> Vec<u8> {
    let place = trace.frame(row);
    let at = |index: usize| format!("{}", place[index]).parse::<usize>().unwrap();
    file[at(0)..at(0) + at(1)].to_vec()
}

#[wasm_bindgen_test]
fn recordings_of_the_native_state_machine_replay_without_a_difference() {
    for (name, file) in EXAMPLES {
        let mut trace = Trace::new();
        file.chunks(1_000).for_each(|piece| trace.push(piece));
        trace.end();
        let summary = json(trace.summary());
        assert_eq!((&summary["mode"], &summary["differences"]), (&"replay".into(), &0.into()), "{name}");
        assert_eq!(trace.columns().times().len(), trace.len(), "{name}");
    }
}

#[wasm_bindgen_test]
fn every_packet_has_details_and_a_state() {
    let (_, file) = EXAMPLES[3];
    let mut trace = Trace::new();
    trace.push(file);
    trace.end();
    for row in 0..u32::try_from(trace.len()).unwrap() {
        let bytes = frame(&trace, file, row);
        let related = frame(&trace, file, trace.related(row));
        let detail = json(trace.detail(row, &bytes, &related));
        assert_eq!(detail["fields"].as_array().unwrap().is_empty(), bytes.is_empty(), "row {row}");
        let state = json(trace.state(row));
        assert!(state["allocations"].is_array(), "row {row}");
    }
    assert!(!trace.filter("rejected").map_err(wasm_bindgen::JsValue::from).unwrap().is_empty());
    assert!(trace.filter("nonsense").is_err());
}

#[wasm_bindgen_test]
fn a_row_that_does_not_exist_is_nothing() {
    let trace = Trace::new();
    assert!(trace.is_empty());
    assert_eq!(trace.frame(7), [0.0, 0.0]);
    assert!(json(trace.detail(7, &[], &[]))["fields"].as_array().unwrap().is_empty());
    assert_eq!(json(trace.state(7))["live"], 0);
}

#[wasm_bindgen_test]
fn a_live_relay_answers_and_its_recording_replays() {
    let mut live = Live::new(7, 1_800_000_000.0).map_err(wasm_bindgen::JsValue::from).unwrap();
    let mut trace = Trace::new();
    for action in [
        r#"{"do":"add_client","socket":"192.0.2.10:50123"}"#,
        r#"{"do":"allocate","client":0,"dual_stack":true}"#,
        r#"{"do":"bind","client":0,"channel":16385,"peer":"198.51.100.30:41000"}"#,
        r#"{"do":"send","client":0,"channel":16385,"text":"hello"}"#,
        r#"{"do":"peer_send","client":0,"peer":"198.51.100.30:41000","text":"hello"}"#,
        r#"{"do":"permission","client":0,"peer":"198.51.100.31:41000"}"#,
        r#"{"do":"send_to","client":0,"peer":"198.51.100.31:41000","text":"hello"}"#,
        r#"{"do":"peer_send","client":0,"peer":"198.51.100.31:41001","text":"hello"}"#,
        r#"{"do":"send_again","client":0,"at":30,"mask":1}"#,
        r#"{"do":"advance","seconds":700}"#,
    ] {
        trace.push(&live.act(action).map_err(wasm_bindgen::JsValue::from).unwrap());
    }
    assert_eq!(live.relayed(0).lines().count(), 2);
    assert_eq!(live.relayed(1), "");
    trace.end();
    let summary = json(trace.summary());
    assert_eq!((&summary["mode"], &summary["differences"]), (&"replay".into(), &0.into()));
    let last = u32::try_from(trace.len() - 1).unwrap();
    assert_eq!(json(trace.state(last))["live"], 0);
    let state = |filter: &str| {
        let rows = trace.filter(filter).map_err(wasm_bindgen::JsValue::from).unwrap();
        json(trace.state(*rows.last().unwrap()))
    };
    let permission = &state("dataindication")["allocations"][0]["permissions"]["198.51.100.31"];
    assert_eq!(permission["packets"], 2, "one each way");
    let granted = state("createpermission request");
    assert_eq!(granted["allocations"][0]["permission_changes"]["198.51.100.31"], "new");
    let ended = state("internal #1-18");
    assert!(!ended["allocations"][0]["removed_permissions"].as_array().unwrap().is_empty(), "{ended}");
    for bad in ["", "{}", r#"{"do":"send","client":9,"channel":0,"text":""}"#, r#"{"do":"add_client","socket":"x"}"#] {
        assert!(live.act(bad).is_err(), "{bad}");
    }
}
