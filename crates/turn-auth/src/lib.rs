//! Time-limited TURN credentials, stateless nonces and the checks of the
//! [long-term credential mechanism](https://www.rfc-editor.org/rfc/rfc8489#section-9.2). No clock, no randomness, no I/O.
//!
//! ```
//! use turn_auth::{AuthError, AuthSecret, Authenticator, Credentials, NonceIssuer, UnixTime};
//!
//! let secret = AuthSecret::new("4c98bf59c99b3e467ecd7cf9d6b3e5279645fca59be67bc5bb4af3cf653761ab")?;
//! let credentials = Credentials::mint(&secret, UnixTime(1_892_160_000), "n23JJ2wKKtt30oXi");
//! assert_eq!(credentials.username, "1892160000:n23JJ2wKKtt30oXi");
//! assert_eq!(*credentials.password, "00hqldgk5xLeKKOB+xls9mHMVtgqzie9DulfgQwMv68");
//!
//! // A Refresh request without credentials is told to authenticate.
//! let request = [0x00, 0x04, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
//! let message = stun_msg::Message::parse(&request)?;
//! let authenticator = Authenticator::new(secret, NonceIssuer::new([7; 32]), "firezone")?;
//! let (now, client) = (UnixTime(1_800_000_000), "192.0.2.1:32853".parse()?);
//! assert_eq!(authenticator.authenticate(&message, now, client).unwrap_err(), AuthError::Unauthenticated);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A relay stores nothing about users or challenges, except static users if they are configured. A password is computed from the
//! username and a secret, and a nonce from the client's address, the time and one key. So unauthenticated clients cannot make the relay
//! use more memory, and shards with the same key accept each other's nonces without communicating.
//!
//! Secrets, passwords and keys are compared in constant time, never shown by `Debug`, and overwritten when they are dropped. Wall-clock
//! time is an argument. It may jump: at worst, a client gets a new nonce, or is refused because its credentials seem to have expired.
//!
//! A challenge may offer SHA-256 keys ([PASSWORD-ALGORITHMS](https://www.rfc-editor.org/rfc/rfc8489#section-14.11)), with a nonce that says so. The caller
//! decides for which requests, as this makes the challenge 28 bytes longer; [`NonceIssuer`] describes the nonce. USERHASH is not supported.
//! This crate does not decide what an authenticated user may do, and does not count failures.
#![forbid(unsafe_code)]

mod accepted;
mod authenticator;
mod credentials;
mod error;
mod nonce;
mod password;
mod scheme;
mod secret;
#[cfg(test)]
mod testing;
mod time;
mod username;

pub use accepted::{AcceptedCredentials, UserKeys};
pub use authenticator::{Authenticated, Authenticator, Holder, RealmError};
pub use credentials::Credentials;
pub use error::AuthError;
pub use nonce::{Nonce, NonceIssuer, StaleNonce};
pub use scheme::{Scheme, Schemes};
pub use secret::{AuthSecret, SecretError};
pub use time::UnixTime;
pub use username::UsernameError;
