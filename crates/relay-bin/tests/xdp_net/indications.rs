//! The ends of indications, as plain sockets.

use std::net::{SocketAddr, UdpSocket};

use test_support::{PATIENCE, relay::credentials};
use turn_client::{Allocate, BlockingClient};

use super::{CLIENT, LISTEN_PORT, Net, PEER, RELAY, V4, address};

/// A client with an allocation, and its socket for indications.
pub(crate) fn client(net: &Net) -> (BlockingClient, UdpSocket) {
    let socket = net.client.within(|| UdpSocket::bind(address(CLIENT[V4], 0)).unwrap());
    socket.connect(address(RELAY[V4], LISTEN_PORT)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut client = BlockingClient::with_socket(socket.try_clone().unwrap(), credentials("indications"));
    client.allocate(Allocate::default()).unwrap();
    (client, socket)
}

/// A peer, and its address.
pub(crate) fn peer(net: &Net) -> (UdpSocket, SocketAddr) {
    let peer = net.peer.within(|| UdpSocket::bind(address(PEER[V4], 0)).unwrap());
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let at = peer.local_addr().unwrap();
    (peer, at)
}
