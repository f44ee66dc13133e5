use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::{Schemes, testing};

fn minted(scheme: Scheme, secret: &str, expiry: u64, user: &str) -> (String, String) {
    let secret = AuthSecret::any_text(secret).unwrap();
    let Credentials { username, password } = scheme.mint(&secret, UnixTime(expiry), user);
    (username, String::clone(&password))
}

/// Credentials from the deployed system.
#[test]
fn published_firezone_credentials_are_minted() {
    for (secret, expiry, salt, username, password) in [
        (
            "4c98bf59c99b3e467ecd7cf9d6b3e5279645fca59be67bc5bb4af3cf653761ab",
            60 * 60 * 24 * 365 * 60,
            "n23JJ2wKKtt30oXi",
            "1892160000:n23JJ2wKKtt30oXi",
            "00hqldgk5xLeKKOB+xls9mHMVtgqzie9DulfgQwMv68",
        ),
        (
            "1cab293a-4032-46f4-862a-40e5d174b0d2",
            1_685_984_278,
            "uvdgKvS9GXYZ_vmv",
            "1685984278:uvdgKvS9GXYZ_vmv",
            "6xUIoZ+QvxKhRasLifwfRkMXl+ETLJUsFkHlXjlHAkg",
        ),
    ] {
        let expected = (username.to_owned(), password.to_owned());
        assert_eq!(minted(Scheme::Firezone, secret, expiry, salt), expected);
    }
}

/// Accepted by coturn 4.6.1 with `--use-auth-secret --static-auth-secret=north`.
#[test]
fn turn_rest_credentials_are_those_that_coturn_accepts() {
    let expected = ("1892160000:alice".to_owned(), "tO6gO9w0y8QNFL1FJ17XIrhO37M=".to_owned());
    assert_eq!(minted(Scheme::TurnRest, "north", 1_892_160_000, "alice"), expected);

    let secret = AuthSecret::any_text("north").unwrap();
    for (text, password) in [
        ("1892160000:alice", "tO6gO9w0y8QNFL1FJ17XIrhO37M="),
        ("1892160000", "XsdaEAgK0Hp2zaKT+0ACP1/fhxQ="),
        ("alice:1892160000", "X7sFP52DnPxWb1/P8xW1bY9zdV8="),
    ] {
        let username = Username::parse(text, Schemes::Only(Scheme::TurnRest)).unwrap();
        assert_eq!(
            Scheme::TurnRest.password(&secret, &username).as_deref().map(String::as_str),
            Some(password),
            "{text}"
        );
    }
}

#[test]
fn the_firezone_scheme_has_no_passwords_for_other_forms() {
    for text in ["1892160000", "alice:1892160000"] {
        let username = Username::parse(text, Schemes::Both).unwrap();
        assert_eq!(Scheme::Firezone.password(&testing::secret(), &username), None, "{text}");
    }
}

proptest! {
    #![proptest_config(test_support::property::config())]

    #[test]
    fn secret_expiry_and_user_all_count(expiry in 0..u64::MAX, user in "[a-z]{1,20}") {
        for (scheme, len) in [(Scheme::Firezone, 43), (Scheme::TurnRest, 28)] {
            let minted = scheme.mint(&testing::secret(), UnixTime(expiry), &user);
            prop_assert_eq!(minted.password.len(), len);
            let others = [
                scheme.mint(&AuthSecret::from_random([1; 32]), UnixTime(expiry), &user),
                scheme.mint(&testing::secret(), UnixTime(expiry + 1), &user),
                scheme.mint(&testing::secret(), UnixTime(expiry), &format!("{user}x")),
            ];
            for other in others {
                prop_assert_ne!(&minted.password, &other.password);
            }
        }
    }
}
