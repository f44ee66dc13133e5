//! The wire format of a TURN relay.
#![forbid(unsafe_code)]
