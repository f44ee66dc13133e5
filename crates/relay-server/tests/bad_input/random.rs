//! Random datagrams, and valid ones that are changed at random.

use proptest::{prelude::*, sample::Index};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{fate, messages, relay};
use crate::support::{Request, append_fingerprint};

fn mutated() -> impl Strategy<Value = (usize, Vec<(Index, u8)>, Option<Index>, bool)> {
    let changes = proptest::collection::vec((any::<Index>(), any::<u8>()), 0..6);
    (0_usize..34, changes, proptest::option::of(any::<Index>()), any::<bool>())
}

proptest! {
    #![proptest_config(test_support::property::config())]

    #[test]
    fn random_datagrams(datagrams in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..20)) {
        let (mut relay, client) = relay();
        for datagram in datagrams {
            fate(&mut relay, &client, &datagram);
        }
    }

    #[test]
    fn random_attributes_in_sound_messages(
        method in proptest::sample::select(vec![1_u16, 3, 4, 6, 8, 9, 0x0011, 0x0016, 0x0101]),
        attributes in proptest::collection::vec((0_u16..0x30, proptest::collection::vec(any::<u8>(), 0..24)), 0..8),
        optional in proptest::collection::vec((0x8000_u16..0x8030, proptest::collection::vec(any::<u8>(), 0..24)), 0..3),
        signed: bool,
    ) {
        let (mut relay, mut client) = relay();
        let request = attributes.iter().chain(&optional).fold(Request::new(method), |request, (attribute, value)| request.with(*attribute, value));
        let message = if signed { client.sign(&request) } else { client.unsigned(&request) };
        fate(&mut relay, &client, &message);
    }

    #[test]
    fn mutated_messages(mutations in proptest::collection::vec(mutated(), 1..10)) {
        let (mut relay, mut client) = relay();
        let originals = messages(&mut client);
        for (original, changes, cut, fingerprint) in mutations {
            let mut message = originals[original % originals.len()].clone();
            for (at, value) in changes {
                let at = at.index(message.len());
                message[at] = value;
            }
            if let Some(cut) = cut {
                message.truncate(cut.index(message.len()));
            } else if fingerprint && message.len() >= 20 && message[0] < 0x40 {
                append_fingerprint(&mut message);
            }
            fate(&mut relay, &client, &message);
        }
        // At most the unchanged messages had an effect, and that is consistent.
        prop_assert!(relay.server.allocation_count() <= 1);
        prop_assert_eq!(relay.sockets.len(), relay.server.allocations().map(|allocation| allocation.families().iter().count()).sum::<usize>());
    }
}
