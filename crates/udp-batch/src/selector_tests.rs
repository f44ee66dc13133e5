use std::{collections::BTreeSet, net::UdpSocket as Plain, time::Duration};

use test_support::capability::loopback;

use super::*;
use crate::{Config, UdpSocket};

const GROUPS: usize = 3;
const PER_GROUP: usize = 2;
/// The first byte is 0x40 to 0x7F, or the first two are 0x0016, or 0x0118 to 0x011B.
const APART: &[Pattern] = &[
    Pattern::first_byte(0xC0, 0x40),
    Pattern::first_two_bytes(0xFFFF, 0x0016),
    Pattern::first_two_bytes(0xFFFC, 0x0118),
];

/// All sockets of all groups at `address`.
fn listen(address: &str, selector: &Selector<'_>) -> Vec<Plain> {
    let config = Config { reuse_port: true, ..Config::default() };
    let first = UdpSocket::bind(address.parse().unwrap(), &config).unwrap();
    first.attach_selector(selector).unwrap();
    let bound = first.local_addr().unwrap();
    let others = (1..selector.groups * selector.sockets_per_group()).map(|_| UdpSocket::bind(bound, &config).unwrap());
    let sockets: Vec<_> = [first].into_iter().chain(others).collect();
    sockets.into_iter().map(|socket| socket.as_fd().try_clone_to_owned().unwrap().into()).collect()
}

/// The number of the socket that gets `datagram`.
fn target(sockets: &[Plain], client: &Plain, datagram: &[u8]) -> usize {
    client.send_to(datagram, sockets[0].local_addr().unwrap()).unwrap();
    let mut buffer = [0; 64];
    for _ in 0..1_000 {
        if let Some(number) = sockets.iter().position(|socket| socket.recv(&mut buffer).is_ok()) {
            return number;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("it did not arrive");
}

#[test]
fn spreads_senders_and_keeps_kinds_apart() {
    for address in loopback() {
        let sockets = listen(address, &Selector { groups: GROUPS, key: 0, apart: APART });
        let mut per_group = [0; GROUPS];
        for _ in 0..150 {
            let client = Plain::bind(address).unwrap();
            let first = target(&sockets, &client, &[0x00, 0x03]);
            assert_eq!(first % PER_GROUP, 0);
            for apart in [[0x40, 0], [0x4F, 0], [0x7F, 0], [0x00, 0x16], [0x01, 0x18], [0x01, 0x1B]] {
                assert_eq!(target(&sockets, &client, &apart), first + 1, "{apart:#x?}");
            }
            let others =
                [[0x01, 0], [0x3F, 0], [0x80, 0], [0xFF, 0], [0x00, 0x17], [0x01, 0x16], [0x00, 0x11], [0x01, 0x1C]];
            for other in others {
                assert_eq!(target(&sockets, &client, &other), first, "{other:#x?}");
            }
            // One byte is enough to match a pattern of one byte, if that is the first pattern.
            assert_eq!(target(&sockets, &client, &[0x40]), first + 1);
            for too_short in [&[][..], &[0x00]] {
                assert_eq!(target(&sockets, &client, too_short), 0);
            }
            per_group[first / PER_GROUP] += 1;
        }
        assert!(per_group.iter().all(|clients| *clients >= 20), "{per_group:?}");
    }
}

#[test]
fn without_patterns_a_group_is_one_socket() {
    for address in loopback() {
        let sockets = listen(address, &Selector { groups: GROUPS, key: 0, apart: &[] });
        assert_eq!(sockets.len(), GROUPS);
        let mut reached = BTreeSet::new();
        for _ in 0..60 {
            let client = Plain::bind(address).unwrap();
            let targets = [&[0x40, 0][..], &[0, 0x16], &[]].map(|datagram| target(&sockets, &client, datagram));
            assert_eq!(targets, [targets[0]; 3]);
            reached.insert(targets[0]);
        }
        assert_eq!(reached.len(), GROUPS);
    }
}

#[test]
fn more_patterns_than_a_program_can_jump_over_are_refused() {
    let selector = Selector { groups: 1, key: 0, apart: &[Pattern::first_byte(1, 1); 100] };
    assert_eq!(selector.program([127, 0, 0, 1].into()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn the_key_decides_on_the_group() {
    for address in loopback() {
        let by_key =
            [1, 0x5EED_0001_2345_6789].map(|key| listen(address, &Selector { groups: GROUPS, key, apart: &[] }));
        let clients: Vec<_> = (0..40).map(|_| Plain::bind(address).unwrap()).collect();
        let groups =
            by_key.map(|sockets| clients.iter().map(|client| target(&sockets, client, b"x")).collect::<Vec<_>>());
        // The probability that all meet again by chance is 3 to the power of -40.
        assert_ne!(groups[0], groups[1]);
    }
}
