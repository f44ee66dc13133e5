use std::fmt;

use zeroize::Zeroizing;

/// A username and its password. Its `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The username, which contains the expiry.
    pub username: String,
    /// The password, made from the username and a secret.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use md5::Digest;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::{UnixTime, testing};

    /// <https://www.rfc-editor.org/rfc/rfc8489#section-9.2.2>
    #[test]
    fn the_key_is_md5_of_username_realm_and_password() {
        let key: [u8; 16] = md5::Md5::digest("user:realm:pass").into();
        assert_eq!(hex::encode(key), "8493fbc53ba582fb4c044c456bdc40eb");

        let credentials = Credentials::mint(&testing::secret(), testing::EXPIRY, "salt");
        let (username, password) = (&credentials.username, &*credentials.password);
        let key: [u8; 16] = md5::Md5::digest(format!("{username}:firezone:{password}")).into();
        let nonce = testing::authenticator().nonce(testing::NOW, testing::client(), false);
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
}
