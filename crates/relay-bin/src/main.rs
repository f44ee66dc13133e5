//! `firezone-relay`: a STUN/TURN relay.
fn main() {}
