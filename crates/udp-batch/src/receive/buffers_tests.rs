use std::{net::UdpSocket, os::fd::AsFd as _};

use super::*;

/// Buffers with datagrams whose tags are the ports of their senders: each slot has this content, cut into segments of this size.
fn holding(slots: &[(u16, &[u8], Option<usize>)]) -> ReceiveBuffers<u16> {
    let mut buffers = ReceiveBuffers::new();
    for (port, bytes, segment) in slots {
        let metadata = Metadata { segment: *segment, ..Metadata::default() };
        buffers.put(*port, ([192, 0, 2, 1], *port).into(), metadata, bytes);
    }
    buffers
}

fn datagrams<T: Copy>(buffers: &ReceiveBuffers<T>) -> Vec<Datagram<T>> {
    let mut cursor = Cursor::default();
    std::iter::from_fn(|| buffers.next_datagram(&mut cursor)).collect()
}

#[test]
fn merged_datagrams_come_apart() {
    let buffers = holding(&[(1, b"aaabbbc", Some(3)), (2, b"dd", None), (3, b"", None), (1, b"eeefff", Some(3))]);
    let got: Vec<_> = datagrams(&buffers)
        .into_iter()
        .map(|datagram| (datagram.from.port(), datagram.follows, datagram.precedes, buffers[datagram.range].to_vec()))
        .collect();
    let expected = [
        (1, false, true, &b"aaa"[..]),
        (1, true, true, b"bbb"),
        (1, true, false, b"c"),
        (2, false, false, b"dd"),
        (3, false, false, b""),
        (1, false, true, b"eee"),
        (1, true, false, b"fff"),
    ];
    assert_eq!(got, expected.map(|(port, follows, precedes, bytes)| (port, follows, precedes, bytes.to_vec())));
}

#[test]
fn a_header_fits_before_every_datagram_that_follows_none() {
    let mut buffers = holding(&[(1, &b"data"[..], None); BATCH]);
    let longest = [7; HEAD_ROOM];
    let mut wrapped = Vec::new();
    for datagram in datagrams(&buffers) {
        wrapped.push(buffers.wrap(&datagram, datagram.range.clone(), &longest, TAIL_ROOM).unwrap());
        assert_eq!(buffers.wrap(&datagram, datagram.range.clone(), &[7; HEAD_ROOM + 1], 0), None);
    }
    for wrapped in wrapped {
        assert_eq!(buffers[wrapped], [&longest[..], b"data\0\0\0"].concat());
    }
}

#[test]
fn nothing_is_written_over_other_datagrams() {
    let mut buffers = holding(&[(1, b"12341234", Some(4))]);
    let [first, second] = datagrams(&buffers).try_into().unwrap();
    assert_eq!(buffers.wrap(&first, first.range.clone(), b"head", 1), None);
    assert_eq!(buffers.wrap(&second, second.range.clone(), b"head", 0), None);
    // The bytes of the datagram outside the data may be overwritten.
    let within = |datagram: &Datagram<u16>| datagram.range.start + 1..datagram.range.end - 2;
    let wrapped = buffers.wrap(&first, within(&first), b"head", 2).unwrap();
    assert_eq!(&buffers[wrapped], b"head2\0\0");
    let wrapped = buffers.wrap(&second, within(&second), b"1", 3).unwrap();
    assert_eq!(&buffers[wrapped], b"12\0\0\0");
    assert_eq!(buffers.wrap(&second, 0..second.range.end, b"", 0), None);
}

#[test]
fn a_restored_datagram_is_as_it_was() {
    let mut buffers = holding(&[(1, b"other", None)]);
    let to = Some("192.0.2.9".parse().unwrap());
    let datagram = Datagram {
        tag: 7,
        from: "192.0.2.1:7".parse().unwrap(),
        to,
        traffic_class: 0xB9,
        range: 0..0,
        follows: true,
        precedes: true,
    };
    buffers.restore(&datagram, b"kept");
    let [_, restored] = datagrams(&buffers).try_into().unwrap();
    assert_eq!(&buffers[restored.range.clone()], b"kept");
    assert_eq!(
        restored,
        Datagram { range: restored.range.clone(), follows: false, precedes: false, ..datagram.clone() }
    );
    for _ in 0..BATCH {
        buffers.restore(&datagram, b"more than fit");
    }
    assert!(buffers.is_full());
}

#[test]
fn batches_of_several_sockets_and_the_end() {
    let sockets = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..BATCH {
        client.send_to(&vec![7; number], sockets[0].local_addr().unwrap()).unwrap();
    }
    client.send_to(b"other", sockets[1].local_addr().unwrap()).unwrap();
    let mut buffers = ReceiveBuffers::new();
    let fill = |buffers: &mut ReceiveBuffers<usize>, index: usize, room| {
        buffers.fill(sockets[index].as_fd(), index, room).map(|filled| (filled.count, filled.remaining))
    };
    assert_eq!(fill(&mut buffers, 1, 2).unwrap(), (1, Remaining::Empty));
    assert_eq!(fill(&mut buffers, 0, 3).unwrap(), (3, Remaining::Unknown));
    assert_eq!(fill(&mut buffers, 0, BATCH).unwrap(), (BATCH - 4, Remaining::Unknown));
    assert!(buffers.is_full());
    let datagrams_of_both = datagrams(&buffers);
    assert_eq!((datagrams_of_both[0].tag, datagrams_of_both[0].range.len()), (1, 5));
    for (number, datagram) in datagrams_of_both[1..].iter().enumerate() {
        let expected = (0, client.local_addr().unwrap(), number);
        assert_eq!((datagram.tag, datagram.from, datagram.range.len()), expected);
    }
    buffers.clear();
    assert_eq!(fill(&mut buffers, 0, BATCH).unwrap(), (1, Remaining::Empty));
    // An error adds nothing.
    assert_eq!(fill(&mut buffers, 0, BATCH).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(datagrams(&buffers).len(), 1);
}
