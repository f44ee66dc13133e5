use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

const FIREZONE: Schemes = Schemes::Only(Scheme::Firezone);
const TURN_REST: Schemes = Schemes::Only(Scheme::TurnRest);
const ALL: [Schemes; 3] = [FIREZONE, TURN_REST, Schemes::Both];

fn expiry_first<'a>(text: &'a str, expiry: u64, user: &'a str) -> Username<'a> {
    Username { text, expiry: UnixTime(expiry), user: Some(user), is_expiry_first: true }
}

#[test]
fn expiry_and_salt_are_read() {
    for (text, expiry, salt) in [
        ("1892160000:n23JJ2wKKtt30oXi", 1_892_160_000, "n23JJ2wKKtt30oXi"),
        ("0:salt", 0, "salt"),
        ("1::", 1, ":"),
        ("1:a:b:c", 1, "a:b:c"),
        ("1: ", 1, " "),
        ("1:\u{1F980}", 1, "\u{1F980}"),
        ("1892160000:@alice:example.org:8448", 1_892_160_000, "@alice:example.org:8448"),
        ("1892160000:1685984278", 1_892_160_000, "1685984278"),
        ("9223372036854775807:s", i64::MAX.unsigned_abs(), "s"),
        ("9223372036854775808:s", 1 << 63, "s"),
        ("18446744073709551615:s", u64::MAX, "s"),
    ] {
        for schemes in ALL {
            assert_eq!(Username::parse(text, schemes), Ok(expiry_first(text, expiry, salt)));
        }
    }
}

#[test]
fn turn_rest_has_the_expiry_alone_and_behind_the_user_too() {
    for (text, expiry, user, user_id) in [
        ("1892160000", 1_892_160_000, None, "1892160000"),
        ("0", 0, None, "0"),
        ("alice:1892160000", 1_892_160_000, Some("alice"), "alice"),
        ("@alice:example.org:1892160000", 1_892_160_000, Some("@alice:example.org"), "@alice:example.org"),
        ("-1:1892160000", 1_892_160_000, Some("-1"), "-1"),
    ] {
        for schemes in [TURN_REST, Schemes::Both] {
            let username = Username::parse(text, schemes).unwrap();
            assert_eq!(username, Username { text, expiry: UnixTime(expiry), user, is_expiry_first: false });
            assert_eq!(username.user_id(), user_id);
        }
        assert!(Username::parse(text, FIREZONE).is_err(), "{text}");
    }
}

#[test]
fn other_formats_are_told_apart() {
    for (text, error) in [
        ("", UsernameError::NoColon),
        ("alice", UsernameError::NoColon),
        ("1892160000;salt", UsernameError::NoColon),
        (":", UsernameError::ExpiryNotANumber),
        (":salt", UsernameError::ExpiryNotANumber),
        (":1892160000", UsernameError::ExpiryNotANumber),
        ("alice:", UsernameError::ExpiryNotANumber),
        ("-1:salt", UsernameError::ExpiryNotANumber),
        ("+1:salt", UsernameError::ExpiryNotANumber),
        (" 1:salt", UsernameError::ExpiryNotANumber),
        ("1 :salt", UsernameError::ExpiryNotANumber),
        ("01:salt", UsernameError::ExpiryNotANumber),
        ("00:salt", UsernameError::ExpiryNotANumber),
        ("1_000:salt", UsernameError::ExpiryNotANumber),
        ("1.5:salt", UsernameError::ExpiryNotANumber),
        ("1e9:salt", UsernameError::ExpiryNotANumber),
        ("0x10:salt", UsernameError::ExpiryNotANumber),
        ("\u{0661}:salt", UsernameError::ExpiryNotANumber),
        ("alice:01", UsernameError::ExpiryNotANumber),
        ("alice:+1", UsernameError::ExpiryNotANumber),
        ("18446744073709551616:salt", UsernameError::ExpiryTooLarge),
        ("99999999999999999999999999999999:salt", UsernameError::ExpiryTooLarge),
        ("1:", UsernameError::NoSalt),
    ] {
        for schemes in ALL {
            assert_eq!(Username::parse(text, schemes), Err(error), "{text}");
        }
    }
    assert_eq!(Username::parse("1892160000", FIREZONE), Err(UsernameError::NoColon));
    assert_eq!(Username::parse("salt:1892160000", FIREZONE), Err(UsernameError::ExpiryNotANumber));
    assert_eq!(text(b"1:\xFF"), Err(UsernameError::NotUtf8));
}

/// Otherwise anyone with one password of the Firezone scheme could make others: from the SHA-256 of a text one can compute that of the
/// text, its padding and any suffix.
#[test]
fn a_salt_that_goes_on_with_the_padding_of_sha_256_is_none() {
    for salt in ["salt", "\u{E9}", "\u{1F980}"] {
        let extended = [b"1892160000:", salt.as_bytes(), b"\x80\0\0\0\0\0\0\x01\xF8more"].concat();
        assert_eq!(text(&extended), Err(UsernameError::NotUtf8));
    }
}

#[test]
fn a_username_of_763_bytes_is_the_longest() {
    let longest = format!("1:{}", "s".repeat(761));
    assert!(text(longest.as_bytes()).is_ok());
    let longer = format!("{longest}s");
    assert_eq!(text(longer.as_bytes()), Err(UsernameError::TooLong { actual: 764 }));
}

proptest! {
    #![proptest_config(test_support::property::config())]

    #[test]
    fn every_credential_has_one_username(text in ".{0,40}") {
        if let Ok(username @ Username { expiry: UnixTime(expiry), .. }) = Username::parse(&text, Schemes::Both) {
            prop_assert_eq!(username.text, &text);
            let again = match username.user {
                None => expiry.to_string(),
                Some(user) if username.is_expiry_first => format!("{expiry}:{user}"),
                Some(user) => format!("{user}:{expiry}"),
            };
            prop_assert_eq!(again, text);
        }
    }

    #[test]
    fn minted_usernames_are_read(expiry: u64, salt in ".{1,40}") {
        let text = format!("{expiry}:{salt}");
        for schemes in ALL {
            prop_assert_eq!(Username::parse(&text, schemes), Ok(expiry_first(&text, expiry, &salt)));
        }
    }
}
