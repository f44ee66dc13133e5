//! A client that sends and receives indications.

use std::{
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use test_support::{PATIENCE, relay::credentials};
use turn_client::{
    Allocate, BlockingClient, Family, IcmpError, Request, decode_data_indication, decode_icmp_indication,
    encode_send_indication, encode_unfragmented_send_indication,
};

pub(crate) struct Client {
    pub(crate) turn: BlockingClient,
    socket: UdpSocket,
}

impl Client {
    /// A client of the relay at `server`. Its allocation has that family, and the other one if the relay does.
    pub(crate) fn start(server: SocketAddr) -> Self {
        let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        Self::with_socket(UdpSocket::bind(any).unwrap(), server)
    }

    pub(crate) fn with_socket(socket: UdpSocket, server: SocketAddr) -> Self {
        socket.connect(server).unwrap();
        let mut turn = BlockingClient::with_socket(socket.try_clone().unwrap(), credentials("icmp"));
        turn.allocate(Allocate { additional_family: Some(Family::V6), ..Allocate::default() }).unwrap();
        Self { turn, socket }
    }

    pub(crate) fn permit(&mut self, peer: SocketAddr) {
        self.turn.request(Request::CreatePermission { peers: vec![peer] }).unwrap();
    }

    pub(crate) fn send(&self, peer: SocketAddr, data: &[u8]) {
        self.socket.send(&encode_send_indication(peer, data, 7, false)).unwrap();
    }

    pub(crate) fn send_unfragmented(&self, peer: SocketAddr, data: &[u8]) {
        self.socket.send(&encode_unfragmented_send_indication(peer, data, 7)).unwrap();
    }

    /// The next ICMP error that the relay reports to it.
    pub(crate) fn hear_icmp(&self) -> IcmpError {
        self.hear(decode_icmp_indication)
    }

    /// The next data and its sender.
    pub(crate) fn hear_data(&self) -> (SocketAddr, Vec<u8>) {
        self.hear(decode_data_indication)
    }

    fn hear<T>(&self, decode: impl Fn(&[u8]) -> Option<T>) -> T {
        self.socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let (mut buffer, until) = ([0; 2_000], Instant::now() + PATIENCE);
        while Instant::now() < until {
            if let Ok(length) = self.socket.recv(&mut buffer)
                && let Some(heard) = decode(&buffer[..length])
            {
                return heard;
            }
        }
        panic!("nothing heard");
    }
}
