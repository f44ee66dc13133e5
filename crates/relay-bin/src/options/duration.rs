//! Parses durations such as `90s`.

use std::time::Duration;

/// Parses `90`, `90s`, `15m`, `24h` or `7d`. `None` for anything else, and for more than a [`Duration`] holds.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (number, unit) = match text.char_indices().next_back()? {
        (_, '0'..='9') => (text, 1),
        (at, 's') => (&text[..at], 1),
        (at, 'm') => (&text[..at], 60),
        (at, 'h') => (&text[..at], 60 * 60),
        (at, 'd') => (&text[..at], 24 * 60 * 60),
        _ => return None,
    };
    // `parse` would accept a sign.
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(unit).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        for (text, seconds) in
            [("0", 0), ("90", 90), ("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800), (" 1h ", 3_600)]
        {
            assert_eq!(parse(text), Some(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn nonsense_and_overflow() {
        for text in ["", "h", "-1s", "+1s", "1.5h", "1 h", "1w", "é", "1é", "18446744073709551615d"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
