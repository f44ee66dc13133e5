use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use sha2::{Digest, Sha256};

use crate::{AuthSecret, UnixTime};

/// A username and its password. Its `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `{expiry}:{salt}`.
    pub username: String,
    /// SHA-256 of `{expiry}:{secret}:{salt}` in base64 without padding.
    pub password: String,
}

impl Credentials {
    /// The credentials that are valid up to `expiry`. Different users get different salts; a relay that takes them knows
    /// nothing but `secret`. A salt must not be empty, and the username must not have more than 508 bytes.
    #[must_use]
    pub fn mint(secret: &AuthSecret, expiry: UnixTime, salt: &str) -> Self {
        Self { username: format!("{}:{salt}", expiry.0), password: password(secret, expiry, salt) }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

pub(crate) fn password(secret: &AuthSecret, expiry: UnixTime, salt: &str) -> String {
    let expiry = expiry.0.to_string();
    let parts = [&expiry, ":", secret.expose(), ":", salt];
    STANDARD_NO_PAD.encode(parts.into_iter().fold(Sha256::new(), Sha256::chain_update).finalize())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::testing;

    /// Those of the deployed system.
    #[test]
    fn published_credentials_are_minted() {
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
            let credentials = Credentials::mint(&AuthSecret::new(secret).unwrap(), UnixTime(expiry), salt);
            assert_eq!((credentials.username.as_str(), credentials.password.as_str()), (username, password));
        }
    }

    /// <https://www.rfc-editor.org/rfc/rfc8489#section-9.2.2>
    #[test]
    fn the_key_is_md5_of_username_realm_and_password() {
        let key: [u8; 16] = md5::Md5::digest("user:realm:pass").into();
        assert_eq!(hex::encode(key), "8493fbc53ba582fb4c044c456bdc40eb");

        let credentials = Credentials::mint(&testing::secret(), testing::EXPIRY, "salt");
        let (username, password) = (&credentials.username, &credentials.password);
        let key: [u8; 16] = md5::Md5::digest(format!("{username}:firezone:{password}")).into();
        let nonce = testing::authenticator().nonce(testing::NOW, testing::client());
        let mut bytes = testing::request(username, "firezone", nonce.as_bytes());
        testing::push_sha1(&mut bytes, &key);
        let authenticated = testing::authenticate(&bytes).unwrap();
        assert_eq!(authenticated.username, username);
    }

    #[test]
    fn debug_does_not_show_the_password() {
        let credentials = Credentials::mint(&testing::secret(), UnixTime(1), "salt");
        assert_eq!(format!("{credentials:?}"), r#"Credentials { username: "1:salt", .. }"#);
    }

    proptest! {
        #![proptest_config(property_tests::config())]

        #[test]
        fn secret_expiry_and_salt_all_count(expiry in 0..u64::MAX, salt in "[a-z]{1,20}") {
            let minted = Credentials::mint(&testing::secret(), UnixTime(expiry), &salt);
            prop_assert_eq!(minted.password.len(), 43);
            let others = [
                Credentials::mint(&AuthSecret::from_random([1; 32]), UnixTime(expiry), &salt),
                Credentials::mint(&testing::secret(), UnixTime(expiry + 1), &salt),
                Credentials::mint(&testing::secret(), UnixTime(expiry), &format!("{salt}x")),
            ];
            for other in others {
                prop_assert_ne!(&minted.password, &other.password);
            }
        }
    }
}
