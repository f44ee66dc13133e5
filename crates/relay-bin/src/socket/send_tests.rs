use std::{net::UdpSocket, os::fd::AsFd as _, time::Duration};

use super::*;

fn receiver() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket2::SockRef::from(&socket).set_recv_buffer_size(1024 * 1024).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

fn receive(socket: &UdpSocket, count: usize) -> Vec<Vec<u8>> {
    let mut buffer = [0; 70_000];
    let mut next = || {
        let length = socket.recv(&mut buffer).unwrap();
        buffer[..length].to_vec()
    };
    (0..count).map(|_| next()).collect()
}

fn message<'a>(to: &UdpSocket, header: Option<&'a [u8; 4]>, payload: &'a [u8]) -> Message<'a> {
    let header = header.map_or(&[][..], |header| header);
    Message { source: None, to: to.local_addr().unwrap(), traffic_class: 0, header, payload, padding: 0 }
}

/// How many messages it takes to send `datagrams`, after having sent them.
fn send(sender: &mut Sender, datagrams: &[Message<'_>]) -> usize {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.group(datagrams.iter().copied(), true);
    let groups = sender.groups.len();
    let mut told = Vec::new();
    sender.send(
        socket.as_fd(),
        &Cell::new(0),
        |_| false,
        datagrams.iter().copied(),
        |index, result| {
            result.unwrap();
            told.push(index);
        },
    );
    assert_eq!(told, (0..datagrams.len()).collect::<Vec<_>>());
    groups
}

#[test]
fn datagrams_stay_apart_and_in_order() {
    let (one, other) = (receiver(), receiver());
    let datagrams = [
        message(&one, Some(b"head"), b"aaa"),
        message(&one, Some(b"HEAD"), b"bbb"),
        message(&one, None, b"shorter"),
        message(&one, None, b"short"),
        message(&one, None, b""),
        message(&one, None, b"longer than the one before"),
        message(&other, None, b"elsewhere"),
        message(&one, None, b"back"),
    ];
    let mut sender = Sender::default();
    // "headaaa", "HEADbbb" and "shorter" are of equal length, and "short" may be the last after them.
    assert_eq!(send(&mut sender, &datagrams), 5);
    let expected = [&b"headaaa"[..], b"HEADbbb", b"shorter", b"short", b"", b"longer than the one before", b"back"];
    assert_eq!(receive(&one, 7), expected);
    assert_eq!(receive(&other, 1), [b"elsewhere"]);
}

#[test]
fn a_datagram_is_padded_with_zeros() {
    let to = receiver();
    let padded = |padding, payload| Message { padding, ..message(&to, Some(b"head"), payload) };
    // Of equal length with their padding, so that they go together.
    let datagrams = [padded(0, b"data"), padded(3, b"d"), padded(1, b"dat")];
    assert_eq!(send(&mut Sender::default(), &datagrams), 1);
    assert_eq!(receive(&to, 3), [&b"headdata"[..], b"headd\0\0\0", b"headdat\0"]);
}

#[test]
fn many_of_one_size_and_many_destinations() {
    let receivers: Vec<UdpSocket> = (0..70).map(|_| receiver()).collect();
    let payloads: Vec<Vec<u8>> = (0..200_u8).map(|byte| vec![byte; 1_000]).collect();
    let mut datagrams: Vec<_> = payloads.iter().map(|payload| message(&receivers[0], None, payload)).collect();
    datagrams.extend(receivers.iter().map(|receiver| message(receiver, None, b"once")));
    let mut sender = Sender::default();
    // 64 of them make 64,000 bytes; the first of the others goes to receiver 0 as well.
    assert_eq!(send(&mut sender, &datagrams), 4 + 69);
    let expected: Vec<Vec<u8>> = payloads.into_iter().chain([b"once".to_vec()]).collect();
    assert_eq!(receive(&receivers[0], 201), expected);
    for receiver in &receivers[1..] {
        assert_eq!(receive(receiver, 1), [b"once"]);
    }
}

#[test]
fn longer_than_any_mtu_is_fragmented() {
    let to = receiver();
    let payload = vec![7; 5_000];
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    options::allow_fragments(&socket, socket.local_addr().unwrap()).unwrap();
    let datagrams = [message(&to, None, &payload), message(&to, None, &payload)];
    Sender::default().send(
        socket.as_fd(),
        &Cell::new(0),
        |_| false,
        datagrams.iter().copied(),
        |_, result| result.unwrap(),
    );
    assert_eq!(receive(&to, 2), [&payload[..], &payload]);
}

#[test]
fn one_failure_concerns_one_datagram() {
    let to = receiver();
    let mut nowhere = message(&to, None, b"nowhere");
    nowhere.to.set_port(0);
    let datagrams = [message(&to, None, b"before"), nowhere, nowhere, message(&to, None, b"after")];
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut results = Vec::new();
    Sender::default().send(
        socket.as_fd(),
        &Cell::new(0),
        |_| false,
        datagrams.iter().copied(),
        |index, result| {
            results.push((index, result.is_ok()));
        },
    );
    assert_eq!(results, [(0, true), (1, false), (2, false), (3, true)]);
    assert_eq!(receive(&to, 2), [&b"before"[..], b"after"]);
}

#[test]
fn a_kernel_that_cannot_segment() {
    let to = receiver();
    let mut sender = Sender { can_segment: false, ..Sender::default() };
    let datagrams = [message(&to, None, b"aaa"), message(&to, None, b"bbb")];
    assert_eq!(send(&mut sender, &datagrams), 2);
    assert_eq!(receive(&to, 2), [b"aaa", b"bbb"]);
}

#[test]
fn what_the_kernel_does_not_segment_goes_one_by_one() {
    let to = receiver();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // Nothing is segmented that is to be sent without a checksum.
    options::set(&socket, libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).unwrap();
    let datagrams = [message(&to, None, b"aaa"), message(&to, None, b"bbb")];
    let mut told = Vec::new();
    Sender::default().send(
        socket.as_fd(),
        &Cell::new(0),
        |_| false,
        datagrams.iter().copied(),
        |index, result| {
            result.unwrap();
            told.push(index);
        },
    );
    assert_eq!(told, [0, 1]);
    assert_eq!(receive(&to, 2), [b"aaa", b"bbb"]);
}

#[test]
fn a_route_that_refuses_segmentation_pauses_it_and_loses_nothing() {
    let to = receiver();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let datagrams = [message(&to, None, b"aaa"), message(&to, None, b"bbb")];
    let (mut sender, pause) = (Sender::default(), Cell::new(0));
    sender.group(datagrams.iter().copied(), true);
    let (group, refused) = (sender.groups[0], io::Error::from_raw_os_error(libc::EIO));
    let mut told = Vec::new();
    assert!(sender.may_go_one_by_one(&pause, group, &refused));
    sender.send_one_by_one(socket.as_fd(), |_| false, group, datagrams.iter().copied(), &mut |index, result| {
        result.unwrap();
        told.push(index);
    });
    assert_eq!((told, pause.get()), (vec![0, 1], PAUSE));
    assert_eq!(receive(&to, 2), [b"aaa", b"bbb"]);
}

#[test]
fn after_a_pause_segmentation_is_tried_again() {
    let to = receiver();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let datagrams = [message(&to, None, b"aaa"), message(&to, None, b"bbb")];
    let (mut sender, pause) = (Sender::default(), Cell::new(1));
    for slices in [1, 2] {
        sender.send(socket.as_fd(), &pause, |_| false, datagrams.iter().copied(), |_, result| result.unwrap());
        assert_eq!(sender.messages[0].msg_hdr.msg_iovlen, slices);
        assert_eq!(receive(&to, 2), [b"aaa", b"bbb"]);
    }
}

#[test]
fn what_is_not_about_segmentation_is_tried_once() {
    let to = receiver();
    let mut nowhere = message(&to, None, b"data");
    // Nobody may send to a broadcast address who has not asked to.
    nowhere.to = "255.255.255.255:9".parse().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (mut sender, pause) = (Sender::default(), Cell::new(0));
    let mut errors = Vec::new();
    sender.send(
        socket.as_fd(),
        &pause,
        |_| false,
        [nowhere; 3].into_iter(),
        |index, result| {
            errors.push((index, result.unwrap_err().raw_os_error()));
        },
    );
    assert_eq!(errors, [0, 1, 2].map(|index| (index, Some(libc::EACCES))));
    // The last that was tried is all of them.
    assert_eq!((sender.messages[0].msg_hdr.msg_iovlen, pause.get()), (3, 0));
}
