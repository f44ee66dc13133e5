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

fn message<'a>(to: &UdpSocket, header: &'a [u8], payload: &'a [u8]) -> Message<'a> {
    Message { header, ..Message::new(to.local_addr().unwrap(), payload) }
}

/// What became of each of `datagrams`, by index.
type Results = Vec<(usize, Option<i32>)>;

fn send_by(sender: &mut Sender, socket: &UdpSocket, pause: &Cell<u32>, datagrams: &[Message<'_>]) -> Results {
    let mut results = Vec::new();
    sender.send(
        socket.as_fd(),
        pause,
        |_| false,
        datagrams.iter().copied(),
        |index, result| results.push((index, result.err().map(|error| error.raw_os_error().unwrap()))),
    );
    results
}

/// Results of success.
fn sent(count: usize) -> Results {
    (0..count).map(|index| (index, None)).collect()
}

/// Sends `datagrams` and returns how many messages that took.
fn send(sender: &mut Sender, datagrams: &[Message<'_>]) -> usize {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_eq!(send_by(sender, &socket, &Cell::new(0), datagrams), sent(datagrams.len()));
    sender.groups.len()
}

#[test]
fn datagrams_stay_apart_and_in_order() {
    let (one, other) = (receiver(), receiver());
    let datagrams = [
        message(&one, b"head", b"aaa"),
        message(&one, b"HEAD", b"bbb"),
        message(&one, b"", b"shorter"),
        message(&one, b"", b"short"),
        message(&one, b"", b""),
        message(&one, b"", b"longer than the one before"),
        message(&other, b"", b"elsewhere"),
        message(&one, b"", b"back"),
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
    let padded = |padding, payload| Message { padding, ..message(&to, b"head", payload) };
    // Of equal length with their padding, so that they go together.
    let datagrams = [padded(0, b"data"), padded(3, b"d"), padded(1, b"dat")];
    assert_eq!(send(&mut Sender::default(), &datagrams), 1);
    assert_eq!(receive(&to, 3), [&b"headdata"[..], b"headd\0\0\0", b"headdat\0"]);
}

#[test]
fn many_of_one_size_and_many_destinations() {
    let receivers: Vec<UdpSocket> = (0..70).map(|_| receiver()).collect();
    let payloads: Vec<Vec<u8>> = (0..200_u8).map(|byte| vec![byte; 1_000]).collect();
    let mut datagrams: Vec<_> = payloads.iter().map(|payload| message(&receivers[0], b"", payload)).collect();
    datagrams.extend(receivers.iter().map(|receiver| message(receiver, b"", b"once")));
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
    let datagrams = [message(&to, b"", &payload); 2];
    assert_eq!(send_by(&mut Sender::default(), &socket, &Cell::new(0), &datagrams), sent(2));
    assert_eq!(receive(&to, 2), [&payload[..], &payload]);
}

#[test]
fn one_failure_concerns_one_datagram() {
    let to = receiver();
    let mut nowhere = message(&to, b"", b"nowhere");
    nowhere.to.set_port(0);
    let datagrams = [message(&to, b"", b"before"), nowhere, nowhere, message(&to, b"", b"after")];
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let results = send_by(&mut Sender::default(), &socket, &Cell::new(0), &datagrams);
    assert_eq!(results, [(0, None), (1, Some(libc::EINVAL)), (2, Some(libc::EINVAL)), (3, None)]);
    assert_eq!(receive(&to, 2), [&b"before"[..], b"after"]);
}

#[test]
fn more_than_one_call_holds_and_failures_between() {
    let to = receiver();
    let payloads: Vec<Vec<u8>> = (0..150_u8).map(|number| vec![number; 1 + usize::from(number)]).collect();
    let datagrams: Vec<_> = payloads
        .iter()
        .map(|payload| {
            let mut datagram = message(&to, b"", payload);
            if payload[0] % 50 == 7 {
                datagram.to.set_port(0);
            }
            datagram
        })
        .collect();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let results = send_by(&mut Sender::default(), &socket, &Cell::new(0), &datagrams);
    let errno = |index: usize| (index % 50 == 7).then_some(libc::EINVAL);
    assert_eq!(results, (0..150).map(|index| (index, errno(index))).collect::<Results>());
    let expected: Vec<_> = payloads.iter().filter(|payload| payload[0] % 50 != 7).collect();
    assert_eq!(receive(&to, 147).iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_kernel_that_cannot_segment() {
    let to = receiver();
    let mut sender = Sender { can_segment: false, ..Sender::default() };
    let datagrams = [message(&to, b"", b"aaa"), message(&to, b"", b"bbb")];
    assert_eq!(send(&mut sender, &datagrams), 2);
    assert_eq!(receive(&to, 2), [b"aaa", b"bbb"]);
}

#[test]
fn what_the_kernel_does_not_segment_goes_one_by_one() {
    let to = receiver();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // Nothing is segmented that is to be sent without a checksum.
    options::set(&socket, libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).unwrap();
    let datagrams = [message(&to, b"", b"aaa"), message(&to, b"", b"bbb")];
    assert_eq!(send_by(&mut Sender::default(), &socket, &Cell::new(0), &datagrams), sent(2));
    assert_eq!(receive(&to, 2), [b"aaa", b"bbb"]);
}

#[test]
fn a_route_that_refuses_segmentation_pauses_it_and_loses_nothing() {
    let to = receiver();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let datagrams = [message(&to, b"", b"aaa"), message(&to, b"", b"bbb")];
    let (mut sender, pause) = (Sender::default(), Cell::new(0));
    plan(datagrams.iter().copied(), true, &mut sender.groups);
    let (group, refused) = (sender.groups[0], io::Error::from_raw_os_error(libc::EIO));
    assert!(sender.may_go_one_by_one(&pause, group, &refused));
    let mut told = Vec::new();
    sender.send_one_by_one(socket.as_fd(), |_| false, group, &datagrams.iter().copied(), &mut |index, result| {
        result.unwrap();
        told.push(index);
    });
    assert_eq!((told, pause.get()), (vec![0, 1], PAUSE));
    assert_eq!(receive(&to, 2), [b"aaa", b"bbb"]);
    // It is reported once.
    assert_eq!(sender.take_segmentation_refusal().unwrap().raw_os_error(), Some(libc::EIO));
    assert!(sender.may_go_one_by_one(&pause, group, &refused));
    assert!(sender.take_segmentation_refusal().is_none());
}

#[test]
fn after_a_pause_segmentation_is_tried_again() {
    let to = receiver();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let datagrams = [message(&to, b"", b"aaa"), message(&to, b"", b"bbb")];
    let (mut sender, pause) = (Sender::default(), Cell::new(1));
    for slices in [1, 2] {
        assert_eq!(send_by(&mut sender, &socket, &pause, &datagrams), sent(2));
        assert_eq!(sender.encoder.slices_of_first(), slices);
        assert_eq!(receive(&to, 2), [b"aaa", b"bbb"]);
    }
}

#[test]
fn what_is_not_about_segmentation_is_tried_once() {
    let to = receiver();
    let mut nowhere = message(&to, b"", b"data");
    // A broadcast address is forbidden without SO_BROADCAST.
    nowhere.to = "255.255.255.255:9".parse().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (mut sender, pause) = (Sender::default(), Cell::new(0));
    let results = send_by(&mut sender, &socket, &pause, &[nowhere; 3]);
    assert_eq!(results, [0, 1, 2].map(|index| (index, Some(libc::EACCES))));
    // The last that was tried is all of them.
    assert_eq!((sender.encoder.slices_of_first(), pause.get()), (3, 0));
}
