//! Values that tests share, numbered.

use std::{net::SocketAddr, time::Duration};

use crate::{ChannelNumber, FiveTuple, NewAllocation, PeerSocket, PortRequest, Timestamp};

/// A time to start at that is not the epoch.
pub(crate) const T0: Timestamp = Timestamp::from_secs(1_000);

/// Different for every `client`; two in a row differ in the relay's address only.
pub(crate) fn five_tuple(client: u16) -> FiveTuple {
    FiveTuple {
        client: SocketAddr::from(([203, 0, 113, 1], client / 2)).into(),
        server: [192, 0, 2, u8::from(client.is_multiple_of(2))].into(),
    }
}

pub(crate) fn peer(peer: u16) -> PeerSocket {
    SocketAddr::from(([198, 51, 100, 1], 1 + peer)).into()
}

pub(crate) fn number(number: u16) -> ChannelNumber {
    ChannelNumber::new(0x4000 + number).unwrap()
}

/// What `client` asks for as "alice", for ten minutes.
pub(crate) fn request(client: u16, port: PortRequest) -> NewAllocation<'static> {
    NewAllocation {
        five_tuple: five_tuple(client),
        username: "alice",
        transaction_id: [7; 12],
        lifetime: Duration::from_secs(600),
        v4: true,
        v6: false,
        port,
    }
}
