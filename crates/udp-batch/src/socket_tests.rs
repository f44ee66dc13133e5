use std::net::Ipv4Addr;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use test_support::capability::loopback;

use super::*;
use crate::Cursor;

const PLAIN: Config = Config { reuse_port: false, buffer_size: Some(1024 * 1024), gro: false, error_queue: false };

fn bound(config: &Config) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into(), config).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Receives all there is: how many slots it took, and how many datagrams the kernel had dropped.
fn receive_all(socket: &UdpSocket) -> (usize, u32) {
    let mut buffers = ReceiveBuffers::new();
    let (mut count, mut dropped) = (0, 0);
    while let Ok(received) = socket.receive((), &mut buffers) {
        count += buffers.filled();
        dropped += received.dropped;
        buffers.clear();
    }
    (count, dropped)
}

#[test]
fn what_is_not_read_in_time_is_counted() {
    let (receiver, address) = bound(&PLAIN);
    // The kernel raises it to its minimum.
    SockRef::from(&receiver).set_recv_buffer_size(1).unwrap();
    let sender = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut sum = (0, 0);
    for burst in [100, 1, 50, 1] {
        for _ in 0..burst {
            sender.send_to(&[0; 1000], address).unwrap();
        }
        // Drops are reported with the next datagram that is queued.
        let (count, dropped) = receive_all(&receiver);
        sum = (sum.0 + count, sum.1 + usize::try_from(dropped).unwrap());
    }
    assert_eq!(sum.0 + sum.1, 152);
    assert!(sum.1 > 0);
}

#[test]
fn an_error_about_one_datagram_neither_loses_another_nor_lasts() {
    let (sender, _) = bound(&Config { error_queue: true, ..PLAIN });
    let (open, at_open) = bound(&PLAIN);
    let closed = bound(&PLAIN).1;
    for number in 0..30 {
        sender.send(&mut Sender::default(), None, closed, b"lost").unwrap();
        let mut waits = [PollFd::new(sender.as_fd(), PollFlags::empty())];
        assert_eq!(poll(&mut waits, PollTimeout::MAX).unwrap(), 1, "the error");
        match number % 3 {
            0 => sender.send(&mut Sender::default(), None, at_open, b"data").unwrap(),
            1 => {
                let message = [Message::new(at_open, b"data")].into_iter();
                sender.send_unfragmented(&mut Sender::default(), message, |_, sent| sent.unwrap()).unwrap();
            }
            _ => {
                let error = sender.receive((), &mut ReceiveBuffers::new()).unwrap_err();
                assert!(sender.may_be_about_another(&error), "{error}");
                sender.send(&mut Sender::default(), None, at_open, b"data").unwrap();
            }
        }
        let mut errors = Vec::new();
        sender.take_errors(|error| errors.push(error.to));
        assert_eq!(errors, [closed]);
        assert_eq!(receive_all(&open), (1, 0));
    }
}

#[test]
fn datagrams_are_merged_where_that_is_wanted() {
    let (sender, _) = bound(&PLAIN);
    for (gro, slots) in [(false, 8), (true, 1)] {
        let (receiver, to) = bound(&Config { gro, ..PLAIN });
        let messages = [Message::new(to, b"data"); 8].into_iter();
        sender.send_all(&mut Sender::default(), messages, |_, result| result.unwrap());
        assert_eq!(receive_all(&receiver), (slots, 0), "{gro}");
    }
}

#[test]
fn metadata_travels_with_each_datagram() {
    for loopback in loopback() {
        let (receiver, sender) = (any(loopback), any(loopback));
        let address = loopback.parse::<SocketAddr>().unwrap().ip();
        let to = SocketAddr::new(address, receiver.local_addr().unwrap().port());
        // Of IPv4, all of 127.0.0.0/8 is this machine's.
        let source = if address.is_ipv4() { "127.0.0.7".parse().unwrap() } else { address };
        let messages = [0, 0xB9, 0xB9].map(|traffic_class| Message {
            source: Some(source),
            traffic_class,
            header: b"head",
            padding: 2,
            ..Message::new(to, b"data")
        });
        sender.send_all(&mut Sender::default(), messages.into_iter(), |_, result| result.unwrap());
        let mut buffers = ReceiveBuffers::new();
        receiver.receive('r', &mut buffers).unwrap();
        while receiver.receive('r', &mut buffers).is_ok() {}
        let mut cursor = Cursor::default();
        for traffic_class in [0, 0xB9, 0xB9] {
            let datagram = buffers.next_datagram(&mut cursor).unwrap();
            assert_eq!(&buffers[datagram.range], b"headdata\0\0");
            assert_eq!((datagram.tag, datagram.from.ip(), datagram.to), ('r', source, Some(address)));
            assert_eq!(datagram.traffic_class, traffic_class);
        }
        assert_eq!(buffers.next_datagram(&mut cursor), None);
    }
}

/// A socket that is bound to all addresses of this family.
fn any(family_of: &str) -> UdpSocket {
    let address = if family_of.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
    UdpSocket::bind(address.parse().unwrap(), &Config { gro: true, ..PLAIN }).unwrap()
}

#[test]
fn a_socket_of_another_process_is_set_up_too() {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let receiver = UdpSocket::from_std(socket, &Config { error_queue: true, ..PLAIN }).unwrap();
    let mut buffers = ReceiveBuffers::new();
    // It does not block.
    assert_eq!(receiver.receive((), &mut buffers).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let to = (Ipv4Addr::LOCALHOST, port).into();
    bound(&PLAIN).0.send(&mut Sender::default(), None, to, b"data").unwrap();
    receiver.receive((), &mut buffers).unwrap();
    assert_eq!(buffers.next_datagram(&mut Cursor::default()).unwrap().to, Some(to.ip()));
    let closed = bound(&PLAIN).1;
    receiver.send(&mut Sender::default(), None, closed, b"lost").unwrap();
    let mut waits = [PollFd::new(receiver.as_fd(), PollFlags::empty())];
    assert_eq!(poll(&mut waits, PollTimeout::MAX).unwrap(), 1, "the error");
    let mut errors = Vec::new();
    receiver.take_errors(|error| errors.push(error.to));
    assert_eq!(errors, [closed]);
}

#[test]
fn only_sockets_that_allow_it_share_a_port() {
    let shared = Config { reuse_port: true, ..PLAIN };
    let (_one, address) = bound(&shared);
    assert_eq!(UdpSocket::bind(address, &PLAIN).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    UdpSocket::bind(address, &shared).unwrap();
}

#[test]
fn the_buffer_size_is_told_as_it_was_asked_for() {
    let size = 64 * 1024;
    let (socket, _) = bound(&Config { buffer_size: Some(size), ..PLAIN });
    assert_eq!(socket.receive_buffer_size().unwrap(), size);
}

#[test]
fn buffers_and_senders_may_move_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<(UdpSocket, Sender, ReceiveBuffers<u8>)>();
}
