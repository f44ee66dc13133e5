//! `firezone-relay explain`: what the binary says of captures, and how it ends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use serde_json::{Value, json};
use test_support::relay::{command, run};

const SUCCESS: Option<i32> = Some(0);
const FAILED: Option<i32> = Some(1);
const UNREADABLE: Option<i32> = Some(2);

/// A file in `captures`, whose README says where it is from.
fn capture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain/captures").join(name)
}

/// A recording of this relay and of Firefox, or a session of coturn: `docs/traces.md` and packet-trace's README say where they are from.
fn other(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The exit code, and what was written to stdout and stderr.
fn explain(options: &[&str], file: &Path) -> (Option<i32>, String, String) {
    let (status, stdout, stderr) = run([&["explain"], options, &[file.to_str().unwrap()]].concat());
    (status.code(), stdout, stderr)
}

/// The same for a capture on stdin.
fn explain_stdin(options: &[&str], capture: &[u8]) -> Output {
    let mut relay = command([&["explain", "-"], options].concat()).stdin(Stdio::piped()).spawn().unwrap();
    relay.stdin.take().unwrap().write_all(capture).unwrap();
    relay.wait_with_output().unwrap()
}

#[test]
fn what_failed_is_said_in_these_words() {
    for (name, expected) in [
        ("coturn-wrong-password.pcapng", include_str!("captures/coturn-wrong-password.txt")),
        ("coturn-refusals.pcap", include_str!("captures/coturn-refusals.txt")),
        ("no-answer.pcap", include_str!("captures/no-answer.txt")),
        ("no-server.pcap", include_str!("captures/no-server.txt")),
    ] {
        let file = capture(name);
        assert_eq!(explain(&[], &file), (FAILED, expected.to_owned(), String::new()), "{name}");
        let output = explain_stdin(&[], &fs::read(file).unwrap());
        assert_eq!((output.status.code(), output.stdout), (FAILED, expected.as_bytes().to_vec()), "{name}");
    }
}

#[test]
fn a_recording_of_this_relay_is_explained_with_its_own_reasons() {
    let (code, text, _) = explain(&[], &other("relay-replay/tests/recordings/firefox-without-indications.pcapng"));
    assert_eq!(code, FAILED);
    assert!(text.contains("Dropped: indications are switched off."), "{text}");
    assert!(text.ends_with(
        "\n2 clients: 0 succeeded, 2 failed\n30 packets in 11.312 s, replayed as this relay recorded them\n"
    ));
}

#[test]
fn clients_that_succeeded_are_counted_or_listed() {
    let file = other("packet-trace/tests/captures/linux-sll2.pcap");
    let summary = "2 clients: 2 succeeded, 0 failed\n40 packets in 3.546 s\n";
    assert_eq!(explain(&[], &file), (SUCCESS, summary.to_owned(), String::new()));
    for option in ["--verbose", "-v"] {
        let (code, text, _) = explain(&[option], &file);
        assert_eq!((code, text.matches("ok       127.0.0.1:").count()), (SUCCESS, 2), "{text}");
        assert!(text.contains("ChannelBind: 5 requests, 5 granted"), "{text}");
        assert!(text.contains("data: 3 packets to peers, 3 from peers\n") && text.ends_with(summary), "{text}");
    }
}

fn json(options: &[&str], file: &Path) -> (Option<i32>, Value) {
    let (code, stdout, stderr) = explain(&[&["--json"], options].concat(), file);
    assert_eq!((stderr.as_str(), stdout.lines().count()), ("", 1));
    (code, serde_json::from_str(&stdout).unwrap())
}

#[test]
fn json_says_the_same() {
    let expected = json!({
        "summary": { "clients": 1, "succeeded": 0, "partly": 0, "failed": 1, "undecided": 0 },
        "capture": {
            "packets": 4,
            "start": 0.0,
            "seconds": 3.50049,
            "mode": "inspection",
            "skipped": [],
            "connectivity_checks": 0,
            "cut_messages": 0,
            "missing_packets": 0,
            "notes": [],
        },
        "clients": [{
            "client": "192.0.2.10:50005",
            "server": "203.0.113.1:3478",
            "status": "failed",
            "seconds": 0.0,
            "requests": {
                "Allocate": { "requests": 1, "copies": 3, "succeeded": 0, "challenged": 0, "refused": 0, "unanswered": 1 }
            },
            "relayed": [],
            "packets_to_peers": 0,
            "packets_from_peers": 0,
            "problems": [{
                "kind": "unanswered",
                "what": "Allocate",
                "peers": [],
                "count": 4,
                "packet": 1,
                "seconds": 0.0,
                "until": 3.50049,
                "title": "There is no answer",
                "text": "The capture holds no answer to this request.",
                "advice": "If the client asks again and again, the request or its answer is lost on the way: look for a firewall, a wrong address or port, or a server that does not run. Where it never asks again, the capture may have ended too early, or shows one direction only.",
            }],
            "more_problems": 0,
        }],
    });
    let (code, mut said) = json(&[], &capture("no-answer.pcap"));
    // When it was recorded.
    assert!(said["capture"]["start"].as_f64().unwrap() > 1.7e9);
    said["capture"]["start"] = json!(0.0);
    assert_eq!((code, said), (FAILED, expected));
}

#[test]
fn json_names_each_refusal_and_lists_who_succeeded_when_asked() {
    let (_, said) = json(&[], &capture("coturn-refusals.pcap"));
    let refusals: Vec<_> = said["clients"]
        .as_array()
        .unwrap()
        .iter()
        .map(|client| {
            let refusal = &client["problems"][0];
            (refusal["what"].as_str().unwrap(), refusal["code"].as_u64().unwrap(), refusal["peers"].clone())
        })
        .collect();
    assert_eq!(
        refusals,
        [
            ("Allocate", 437, json!([])),
            ("CreatePermission", 403, json!(["10.0.0.9:53"])),
            ("ChannelBind", 400, json!(["198.51.100.30:41001"])),
            ("Allocate", 486, json!([])),
        ]
    );
    assert_eq!(said["clients"][0]["software"], "Coturn-4.6.1 'Gorst'");
    let file = capture("coturn-wrong-password.pcapng");
    for (options, listed) in [(&[][..], 1), (&["--verbose"], 3)] {
        let (code, said) = json(options, &file);
        assert_eq!((code, said["clients"].as_array().unwrap().len()), (FAILED, listed));
        assert_eq!(said["summary"]["succeeded"], 2);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(capture("coturn-refusals.pcap")).unwrap();
    let mut corrupt = whole.clone();
    // The length of the second packet, which begins behind the file's header and the first.
    corrupt[24 + 16 + 70 + 8..][..4].copy_from_slice(&[0xff; 4]);
    for (name, bytes, words, has_text) in [
        ("empty", &b""[..], "the file is empty (nothing was captured, or", false),
        ("page", b"<html>", "neither a pcapng nor a pcap file: it begins with [3c, 68, 74, 6d]", false),
        ("zipped", b"\x1f\x8b\x08\0\0\0", "compressed with gzip: unpack it first (for example `gzip -dc FILE |", false),
        (
            "wifi",
            &[&whole[..20], &[105, 0, 0, 0]].concat(),
            "the capture holds IEEE 802.11 (link type 105) frames",
            false,
        ),
        ("header", &whole[..23], "1 bytes short at byte 0", false),
        ("corrupt", &corrupt, "the block at byte 110 is corrupt: it claims to hold more than 1 MiB", true),
    ] {
        let file = folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        let (code, stdout, stderr) = explain(&[], &file);
        assert_eq!((code, stderr.lines().count()), (UNREADABLE, 1), "{name}: {stderr}");
        assert!(stderr.contains(&format!("error: {}: ", file.display())) && stderr.contains(words), "{stderr}");
        assert_eq!(!stdout.is_empty(), has_text, "{name}: {stdout}");
        let output = explain_stdin(&[], bytes);
        assert_eq!(output.status.code(), UNREADABLE, "{name}");
        assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: stdin: "), "{name}");
    }
    let (code, stdout, stderr) = explain(&[], &folder.path().join("nothing"));
    assert_eq!((code, stdout.as_str()), (UNREADABLE, ""));
    assert!(stderr.starts_with("error: cannot open ") && stderr.contains("No such file"), "{stderr}");
    let (code, _, stderr) = explain(&[], folder.path());
    assert_eq!(code, UNREADABLE);
    assert!(stderr.starts_with("error: cannot read ") && stderr.contains("Is a directory"), "{stderr}");
}

/// As a capturing program leaves it that was killed, or that still writes.
#[test]
fn a_capture_without_its_end_or_without_packets_is_explained() {
    let whole = fs::read(capture("coturn-refusals.pcap")).unwrap();
    let output = explain_stdin(&[], &whole[..whole.len() - 10]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (FAILED, 0), "{text}");
    assert!(text.contains("\nnote: the file ends in the middle of a block, 10 bytes short"), "{text}");
    assert!(text.contains("4 clients: 0 succeeded, 3 failed, 1 open at the end\n"), "{text}");
    let output = explain_stdin(&[], &whole[..24]);
    let text = "no client of a STUN or TURN server is in the capture\nthe capture holds no packets\n";
    assert_eq!((output.status.code(), String::from_utf8(output.stdout).unwrap().as_str()), (SUCCESS, text));
}

#[test]
fn nobody_needs_to_read_what_is_said() {
    let mut relay = command(["explain", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    drop(relay.stdout.take());
    let capture = fs::read(capture("coturn-refusals.pcap")).unwrap();
    relay.stdin.take().unwrap().write_all(&capture).unwrap();
    let output = relay.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), FAILED);
    assert!(stderr.starts_with("error: cannot write to stdout") && !stderr.contains("panicked"), "{stderr}");
}

#[test]
fn help_says_how_it_ends() {
    let (status, help, _) = run(["explain", "--help"]);
    assert_eq!(status.code(), SUCCESS);
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in
        ["Exits with 0 if no client failed, 1 if one did, 2 if", "--json", "--verbose", "`-` reads it from stdin"]
    {
        assert!(help.contains(words), "{help}");
    }
    let (status, _, stderr) = run(["explain"]);
    assert_eq!(status.code(), UNREADABLE);
    assert!(stderr.contains("<FILE>"), "{stderr}");
}
