//! The code in `docs/credentials.md` mints credentials that the relay accepts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::process::Command;

use test_support::{
    capability::{can, runs},
    relay::{Relay, SECRET},
};
use turn_auth::{AuthSecret, Scheme, UnixTime};
use turn_client::{Allocate, BlockingClient, Credentials};

const PAGE: &str = include_str!("../../../docs/credentials.md");

/// The language of a code block, the program that runs it (also the name of the capability), and its option for code.
const PROGRAMS: [(&str, &str, &str); 3] =
    [("python", "python3", "-c"), ("javascript", "node", "-e"), ("sh", "sh", "-c")];

/// The block in this language under the heading of the scheme.
fn snippet(heading: &str, language: &str) -> &'static str {
    let (_, section) = PAGE.split_once(&format!("\n### {heading}\n")).unwrap();
    let section = section.split("\n### ").next().unwrap();
    let (_, block) = section.split_once(&format!("\n```{language}\n")).unwrap();
    block.split("\n```").next().unwrap()
}

fn has(program: &str) -> bool {
    match program {
        "sh" => can("openssl", runs("openssl", ["version"]), "openssl is not installed"),
        _ => can(program, runs(program, ["--version"]), format!("{program} is not installed")),
    }
}

fn minted_by_snippets(heading: &str, scheme: Scheme) {
    let relay = Relay::start(&[]);
    for (language, program, option) in PROGRAMS {
        if !has(program) {
            continue;
        }
        let output = Command::new(program).args([option, snippet(heading, language)]).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{language}: {}", String::from_utf8_lossy(&output.stderr));
        let (username, password) = printed.trim_end().split_once(' ').unwrap();
        let expiry = username.strip_suffix(":alice").unwrap().parse().unwrap();
        let expected = scheme.mint(&AuthSecret::new(SECRET).unwrap(), UnixTime(expiry), "alice");
        assert_eq!((username, password), (expected.username.as_str(), expected.password.as_str()), "{language}");
        let mut client = BlockingClient::connect(relay.v4(), Credentials::new(username, password)).unwrap();
        client.allocate(Allocate::default()).unwrap();
    }
}

#[test]
fn turn_rest_snippets_mint_what_the_relay_takes() {
    minted_by_snippets("turn-rest", Scheme::TurnRest);
}

#[test]
fn firezone_snippets_mint_what_the_relay_takes() {
    minted_by_snippets("firezone", Scheme::Firezone);
}

#[test]
fn the_examples_of_the_page_are_right() {
    for (scheme, secret, user, [username, password]) in [
        (
            Scheme::Firezone,
            SECRET,
            "n23JJ2wKKtt30oXi",
            ["1892160000:n23JJ2wKKtt30oXi", "00hqldgk5xLeKKOB+xls9mHMVtgqzie9DulfgQwMv68"],
        ),
        (Scheme::TurnRest, "north", "alice", ["1892160000:alice", "tO6gO9w0y8QNFL1FJ17XIrhO37M="]),
    ] {
        let minted = scheme.mint(&AuthSecret::any_text(secret).unwrap(), UnixTime(1_892_160_000), user);
        assert_eq!((minted.username.as_str(), minted.password.as_str()), (username, password));
        for text in [secret, username, password] {
            assert!(PAGE.contains(&format!("`{text}`")), "{text}");
        }
    }
}
