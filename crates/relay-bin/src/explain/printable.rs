//! Escapes text from packets, so that it cannot control a terminal.

use std::fmt::Write as _;

/// Escapes invisible characters: control characters, and those that change the direction of writing.
pub(super) fn text(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if is_visible(character) {
            printable.push(character);
        } else {
            let _ = write!(printable, "{}", character.escape_debug());
        }
    }
    printable
}

/// Escapes the same characters in JSON text, which has them only inside strings.
pub(super) fn json(json: &str) -> String {
    let mut printable = String::with_capacity(json.len());
    for character in json.chars() {
        if is_visible(character) {
            printable.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(printable, "\\u{unit:04x}");
            }
        }
    }
    printable
}

/// Quotes and backslashes are visible, although Rust's literals escape them.
fn is_visible(character: char) -> bool {
    matches!(character, '\'' | '"' | '\\') || character.escape_debug().len() == 1
}
