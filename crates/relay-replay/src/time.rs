//! Formats times for people.

/// Unix time as `2026-11-22 12:30:05 UTC`.
pub(crate) fn utc(unix_seconds: u64) -> String {
    const DAY: u64 = 86_400;
    // Beyond the year 9999 a number is as useful as a date.
    if unix_seconds >= 253_402_300_800 {
        return format!("Unix time {unix_seconds}, beyond the year 9999");
    }
    let (days, second) = (unix_seconds / DAY, unix_seconds % DAY);
    // Days since 0000-03-01, so that the leap day is the last of its year. An era is 400 years, after which the Gregorian calendar
    // repeats.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", second / 3_600, second / 60 % 60, second % 60)
}

/// A duration in its two largest units, such as `3 minutes 5 seconds`.
pub(crate) fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let mut rest = seconds;
    let mut words = Vec::new();
    for (length, name) in UNITS {
        let count = rest / length;
        rest %= length;
        if count > 0 && words.len() < 2 {
            words.push(format!("{count} {name}{}", if count == 1 { "" } else { "s" }));
        }
    }
    if words.is_empty() { "0 seconds".to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_709_251_199), "2024-02-29 23:59:59 UTC");
        assert_eq!(utc(1_795_350_605), "2026-11-22 12:30:05 UTC");
        assert_eq!(utc(4_107_542_400), "2100-03-01 00:00:00 UTC");
        assert_eq!(utc(253_402_300_799), "9999-12-31 23:59:59 UTC");
        assert!(utc(u64::MAX).contains("beyond"));
    }

    #[test]
    fn spans_use_two_units() {
        assert_eq!(span(0), "0 seconds");
        assert_eq!(span(61), "1 minute 1 second");
        assert_eq!(span(7_200), "2 hours");
        assert_eq!(span(90_061), "1 day 1 hour");
    }
}
