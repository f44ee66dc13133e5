//! The clients, users, peers and channel numbers of the model. There are few of each, so that they get into each other's way.

use std::net::{IpAddr, SocketAddr};

use crate::support::{Client, Credentials, LISTEN_PORT, RELAY_V4, RELAY_V6, UNIX_TIME};

/// The number of clients.
pub(crate) const CLIENTS: usize = 6;
/// The client at a Teredo address, which may not allocate.
pub(crate) const TEREDO_CLIENT: usize = 5;
/// The number of usernames.
pub(crate) const USERS: usize = 3;
/// The user id of each username. Two usernames belong to one user.
pub(crate) const USER_IDS: [&str; USERS] = ["alice", "bob", "alice"];
/// The username whose credentials expire soon.
pub(crate) const BRIEF_USER: usize = 2;
/// In seconds after the start.
pub(crate) const BRIEF_EXPIRY: u64 = 5_000;

/// The channel numbers in use. One is in the range that only RFC 5766 allows.
pub(crate) const NUMBERS: [u16; 4] = [0x4000, 0x4001, 0x4FFF, 0x7FFF];

pub(crate) fn client(index: usize) -> Client {
    let socket = [
        "198.51.100.7:50000",
        "198.51.100.7:50001",
        "198.51.100.8:50000",
        "[2001:db8:7::5]:50000",
        // The socket of the first client, but another 5-tuple: it sends to another address of the relay.
        "198.51.100.7:50000",
        "[2001:0:4136:e378:8000:63bf:3fff:fdd2]:50000",
    ][index];
    let mut client = Client::new(socket);
    if index == 4 {
        client.server = IpAddr::from([10, 0, 0, 1]);
    }
    client
}

pub(crate) fn credentials(user: usize) -> Credentials {
    let expiry = if user == BRIEF_USER { UNIX_TIME + BRIEF_EXPIRY } else { UNIX_TIME + 365 * 86_400 };
    Credentials::mint(expiry, USER_IDS[user])
}

/// Peers outside the relay.
pub(crate) const OUTSIDE: [&str; 5] =
    ["203.0.113.1:9", "203.0.113.1:10", "203.0.113.2:9", "[2001:db8:9::1]:9", "[2001:db8:9::1]:10"];

pub(crate) fn outside(index: usize) -> SocketAddr {
    OUTSIDE[index].parse().unwrap()
}

/// One of more peers than an allocation may permit.
pub(crate) fn one_of_many(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    SocketAddr::from(([198, 18, high, low], 0))
}

/// Peers that a channel must not be bound to.
pub(crate) fn forbidden() -> [SocketAddr; 8] {
    let [a, b, c, d, e, f] =
        ["224.0.0.1:9", "0.0.0.0:9", "[ff02::1]:9", "[::ffff:203.0.113.1]:9", "[2002:c633:6407::1]:9", "203.0.113.1:0"]
            .map(|peer| peer.parse().unwrap());
    [a, b, c, d, e, f, SocketAddr::new(RELAY_V4.into(), LISTEN_PORT), SocketAddr::new(RELAY_V6.into(), LISTEN_PORT)]
}

/// For this many of [`forbidden`], a permission is refused as well; only the port of the others is forbidden.
pub(crate) const FORBIDDEN_ADDRESSES: usize = 5;
