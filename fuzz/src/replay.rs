//! Every committed input runs through its target, and the test vectors of the RFCs through all of them.

use std::{fs, path::Path};

fn files(folder: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a folder that can be listed").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    paths.into_iter().map(|path| fs::read(path).expect("a file that can be read")).collect()
}

fn replay(target: &str, body: fn(&[u8])) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for input in files(&root.join("corpus").join(target)) {
        body(&input);
    }
    for text in files(&root.join("../crates/stun-msg/tests/vectors")) {
        let text = String::from_utf8(text).expect("text");
        let digits: String =
            text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace).collect();
        let bytes = hex::decode(digits).expect("hexadecimal digits");
        for len in 0..=bytes.len() {
            body(&bytes[..len]);
        }
    }
}

#[test]
fn datagram() {
    replay("datagram", crate::datagram);
}

#[test]
fn request() {
    replay("request", crate::request);
}

#[test]
fn indication() {
    replay("indication", crate::indication);
}

#[test]
fn response() {
    replay("response", crate::response);
}

#[test]
fn authentication() {
    replay("authentication", crate::authentication);
}

#[test]
fn capture() {
    replay("capture", crate::capture);
}

#[test]
fn operations() {
    replay("operations", crate::operations);
}

#[test]
fn portal() {
    replay("portal", crate::portal);
}

#[test]
fn recording() {
    replay("recording", crate::recording);
}

#[test]
fn rewrite() {
    replay("rewrite", crate::rewrite);
}

#[test]
fn snapshot() {
    replay("snapshot", crate::snapshot);
}
