//! Clients that come and go, and strangers, leave no state behind.

use std::net::SocketAddr;

use relay_server::UsernameLimit;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{fate, messages, peer};
use crate::support::{Client, Relay, allocate, allocate_dual_stack, bind, delete};

#[test]
fn ten_thousand_allocations_made_and_deleted_leave_nothing_behind() {
    for limit in [UsernameLimit::ReplaceOldest, UsernameLimit::RefuseBeyond(1)] {
        let mut relay = Relay::with(|config| config.username_limit = limit);
        let mut client = Client::new("198.51.100.7:50000");
        for round in 0..10_000_u16 {
            let request = match round % 3 {
                0 => allocate(),
                1 => allocate_dual_stack(),
                _ => allocate().with_lifetime(3600),
            };
            relay.granted(&mut client, &request);
            if round % 100 == 0 {
                relay.granted(&mut client, &bind(0x4000, peer()));
            }
            relay.granted(&mut client, &delete());
            relay.take_events();
        }
        assert_eq!((relay.server.allocation_count(), relay.sockets.len(), relay.flows.len()), (0, 0, 0));
        assert_eq!(relay.server.poll_timeout(), None, "no deadline is left");
        assert_eq!(relay.server.poll_output(), None);
    }
}

#[test]
fn strangers_leave_nothing_behind() {
    let mut relay = Relay::new();
    let empty = format!("{:?}", relay.server);
    for number in 0..500_u32 {
        let [_, _, high, low] = number.to_be_bytes();
        let mut stranger = Client::new("198.51.100.7:50000");
        stranger.socket = SocketAddr::from(([198, 18, high, low], 50_000));
        for message in messages(&mut stranger) {
            fate(&mut relay, &stranger, &message);
        }
    }
    assert_eq!(format!("{:?}", relay.server), empty, "the state is what it was");
}
