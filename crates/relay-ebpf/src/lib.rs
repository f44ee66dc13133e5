//! The XDP fast path of a TURN relay.
