use proptest::prelude::*;
use relay_replay::EXAMPLES;

use super::*;

const REFUSALS: &[u8] = include_bytes!("../../tests/explain/captures/coturn-refusals.pcap");
const WRONG_PASSWORD: &[u8] = include_bytes!("../../tests/explain/captures/coturn-wrong-password.pcapng");

fn explain_bytes(capture: &[u8], as_json: bool) -> Explained {
    explain_from(capture, "the capture", as_json, true)
}

/// The capture with this username in place of `alice`, which is as long.
fn with_username(username: [u8; 5]) -> Vec<u8> {
    let mut capture = REFUSALS.to_vec();
    for at in 0..capture.len() - 5 {
        if capture[at..].starts_with(b"alice") {
            capture[at..at + 5].copy_from_slice(&username);
        }
    }
    capture
}

fn is_plain(text: &str) -> bool {
    text.chars().all(|character| character == '\n' || !character.is_control() && character != '\u{202e}')
}

#[test]
fn text_of_packets_cannot_control_a_terminal() {
    for (username, shown) in [
        (*b"\x1b[31m", r#"user "\u{1b}[31m""#),
        (*b"\nok  ", r#"user "\nok  ""#),
        (*b"a\xc2\x9b1b", r#"user "a\u{9b}1b""#),
        (*b"a\xe2\x80\xaeb", r#"user "a\u{202e}b""#),
        (*b"\xff\xfe\xfd\"\\", "user \"\u{fffd}\u{fffd}\u{fffd}\"\\\""),
        (*b"J\xc3\xb8rn", "user \"J\u{f8}rn\""),
    ] {
        let capture = with_username(username);
        let text = explain_bytes(&capture, false).text.unwrap();
        assert!(text.contains(shown) && is_plain(&text), "{shown}: {text}");
        let json = explain_bytes(&capture, true).text.unwrap();
        assert!(is_plain(&json) && !json.contains('\n'), "{json}");
        let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(parsed["clients"][0]["username"], String::from_utf8_lossy(&username).as_ref());
    }
}

#[test]
fn characters_beyond_16_bits_stay_what_they_are_in_json() {
    // An invisible tag, and a picture.
    let text = "\"\u{e0001}\u{1f600}\u{7f}\"";
    let escaped = printable::json(text);
    assert_eq!(escaped, "\"\\udb40\\udc01\u{1f600}\\u007f\"");
    assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text.trim_matches('"'));
}

/// A file that takes nothing but errors.
#[test]
fn a_file_that_fails_in_the_middle_is_explained_up_to_there() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is broken"))
        }
    }
    let explained = explain_from(REFUSALS.chain(Broken), "the capture", false, false);
    assert_eq!(format!("{:#}", explained.error.unwrap()), "cannot read the capture: the disk is broken");
    assert!(explained.text.unwrap().contains("4 clients: 0 succeeded, 4 failed"));
}

proptest! {
    #![proptest_config(test_support::property::config())]

    #[test]
    fn damage_never_panics_and_never_controls_a_terminal(
        which in 0..EXAMPLES.len() + 2,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..16),
        end in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut capture = match EXAMPLES.get(which) {
            Some(example) => example.record().unwrap(),
            None if which == EXAMPLES.len() => REFUSALS.to_vec(),
            None => WRONG_PASSWORD.to_vec(),
        };
        for (at, value) in damage {
            let at = at.index(capture.len());
            capture[at] = value;
        }
        if is_cut {
            capture.truncate(end.index(capture.len()));
        }
        let explained = explain_bytes(&capture, false);
        prop_assert!(explained.text.is_some() || explained.error.is_some());
        for text in explained.text.into_iter().chain(explained.error.map(|error| format!("{error:#}"))) {
            prop_assert!(is_plain(&text), "{:?}", text);
        }
        if let Some(json) = explain_bytes(&capture, true).text {
            let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
            let clients = parsed["clients"].as_array().unwrap();
            prop_assert_eq!(parsed["summary"]["clients"].as_u64().unwrap(), clients.len() as u64);
            let failed = |status: &str| clients.iter().filter(|client| client["status"] == status).count();
            prop_assert_eq!(explained.has_failures, failed("failed") + failed("partly") > 0);
        }
    }
}
