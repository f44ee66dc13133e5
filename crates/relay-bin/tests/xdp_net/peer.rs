//! Payloads whose every byte is known, and a peer that checks and answers them.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, UdpSocket},
    thread::{self, JoinHandle},
    time::Duration,
};

use test_support::{PATIENCE, namespace::Namespace};
use turn_client::BlockingClient;

/// How many packets may be in flight.
const WINDOW: u32 = 32;

/// The largest payload that fits a link of 1,500 bytes as ChannelData over IPv6.
pub(crate) const LARGEST: usize = 1500 - 40 - 8 - 4;

/// The payload of packet `number`, pseudo-random in length and content. It begins with the number, in four bytes.
pub(crate) fn payload(number: u32) -> Vec<u8> {
    // SplitMix64 (<https://dl.acm.org/doi/10.1145/2714064.2660195>): consecutive numbers give very different payloads.
    let mut state = u64::from(number);
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_be_bytes()
    };
    let [high, low, ..] = next();
    let length = 4 + usize::from(u16::from_be_bytes([high, low])) % (LARGEST - 3);
    let mut payload = number.to_be_bytes().to_vec();
    while payload.len() < length {
        payload.extend(next());
    }
    payload.truncate(length);
    payload
}

/// The number of the peer's answer to packet `number`.
pub(crate) const fn answer_to(number: u32) -> u32 {
    !number
}

/// Checks that a packet is equal to [`payload`]. Returns its number.
#[track_caller]
pub(crate) fn check(data: &[u8]) -> u32 {
    let number = u32::from_be_bytes(data[..4].try_into().unwrap());
    assert!(data == payload(number), "packet {number:#x} was changed on its way: {} bytes", data.len());
    number
}

/// A peer on a thread. It checks each packet and answers with another. The packet [`LAST`] ends it.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    thread: JoinHandle<Vec<u32>>,
}

/// The number of the packet that ends a [`Peer`].
pub(crate) const LAST: u32 = 0x7fff_ffff;

impl Peer {
    pub(crate) fn start(namespace: &Namespace, address: SocketAddr) -> Self {
        let socket = namespace.within(move || UdpSocket::bind(address).unwrap());
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let address = socket.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let mut buffer = [0; 2048];
            let mut numbers = Vec::new();
            loop {
                let (length, from) = socket.recv_from(&mut buffer).expect("the peer waits for packets");
                let number = check(&buffer[..length]);
                if number == LAST {
                    return numbers;
                }
                numbers.push(number);
                socket.send_to(&payload(answer_to(number)), from).unwrap();
            }
        });
        Self { address, thread }
    }

    /// Ends the peer. Returns the numbers of all packets before, in order of arrival.
    pub(crate) fn end(self, client: &mut BlockingClient, channel: u16) -> Vec<u32> {
        client.send(channel, &payload(LAST)).unwrap();
        self.thread.join().expect("a packet was lost or changed on its way to the peer")
    }
}

/// Sends packets through `channel` and waits for their answers. Returns the bytes of payload in both directions.
pub(crate) fn exchange(client: &mut BlockingClient, channel: u16, numbers: std::ops::Range<u32>) -> u64 {
    let mut bytes = 0;
    let mut begin = numbers.start;
    while begin < numbers.end {
        let window = begin..numbers.end.min(begin + WINDOW);
        for number in window.clone() {
            let data = payload(number);
            bytes += data.len() as u64;
            client.send(channel, &data).unwrap();
        }
        // A packet that user space relays may be overtaken.
        let mut expected: BTreeSet<u32> = window.clone().map(answer_to).collect();
        while !expected.is_empty() {
            let (from, data) = receive(client).unwrap_or_else(|| panic!("lost: {expected:?}"));
            assert_eq!(from, channel);
            assert!(expected.remove(&check(&data)), "an answer to no question, or one that came twice");
            bytes += data.len() as u64;
        }
        begin = window.end;
    }
    bytes
}

/// The next data that arrives.
pub(crate) fn receive(client: &mut BlockingClient) -> Option<(u16, Vec<u8>)> {
    client.receive(PATIENCE).unwrap()
}

/// Whether `socket` has received nothing.
pub(crate) fn is_silent(socket: &UdpSocket) -> bool {
    socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    socket.recv(&mut [0; 2048]).is_err()
}
