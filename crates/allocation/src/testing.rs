//! Numbered values that tests share.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::{
    ChannelNumber, Credential, Families, Family, FiveTuple, NewAllocation, PeerSocket, PortRequest, Timestamp,
};

/// A time to start at that is not the epoch.
pub(crate) const T0: Timestamp = Timestamp::from_secs(1_000);

/// A 5-tuple that differs for every `client`; two consecutive ones may differ in the relay's address only.
pub(crate) fn five_tuple(client: u16) -> FiveTuple {
    FiveTuple {
        client: SocketAddr::from(([203, 0, 113, 1], client / 2)).into(),
        server: [192, 0, 2, u8::from(client.is_multiple_of(2))].into(),
    }
}

/// A peer that differs for every number; the families alternate.
pub(crate) fn peer(peer: u16) -> PeerSocket {
    let address: IpAddr =
        if peer.is_multiple_of(2) { [198, 51, 100, 1].into() } else { [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into() };
    SocketAddr::new(address, 1 + peer).into()
}

pub(crate) fn number(number: u16) -> ChannelNumber {
    ChannelNumber::new(0x4000 + number).unwrap()
}

/// A request of `client` as "alice", for ten minutes.
pub(crate) fn request(client: u16, port: PortRequest) -> NewAllocation<'static> {
    NewAllocation {
        five_tuple: five_tuple(client),
        credential: Credential::unsigned("alice"),
        transaction_id: [7; 12],
        lifetime: Duration::from_secs(600),
        families: Families::Only(Family::V4),
        port,
    }
}
