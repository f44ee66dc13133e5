use crate::portal_message::Incoming;

/// The longest text of the portal's that may get into a log: 200 characters, each of them escaped (`\u{10ffff}`), and `...`.
const LONGEST: usize = 200 * 10 + 3;

/// Whatever the portal sends is understood or refused, and nothing of it that is logged is long or breaks out of its line.
pub fn portal(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let logged = match Incoming::parse(&text) {
        Incoming::Reply { result: Err(text), .. }
        | Incoming::Disconnect { reason: text }
        | Incoming::Unknown { event: text }
        | Incoming::Garbage { problem: text } => text,
        Incoming::Reply { result: Ok(()), .. } | Incoming::Init => return,
        Incoming::ChannelEnded(event) => event.to_owned(),
    };
    assert!(logged.chars().count() <= LONGEST, "{} characters", logged.chars().count());
    assert!(!logged.contains(char::is_control), "{logged:?}");
}
