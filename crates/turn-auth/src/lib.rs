//! Time-limited TURN credentials, stateless nonces and MESSAGE-INTEGRITY.
#![forbid(unsafe_code)]
