use std::{
    net::{IpAddr, SocketAddr},
    ops::Range,
};

use stun_msg::{ChannelData, DataHeader, TransactionId};

use crate::{AllocationPort, ChannelNumber};

/// One of the relay's own transport addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Via {
    /// The listening port, at this local address.
    Listener(IpAddr),
    /// The relayed transport address with this port; its family is that of the remote address it talks to.
    Relay(AllocationPort),
}

/// A datagram to be relayed: from `from` to `to`, send [`Self::header`], then `datagram[payload]`, then [`Self::padding`] zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Where it leaves from.
    pub from: Via,
    /// Where it goes.
    pub to: SocketAddr,
    /// What the payload is wrapped in.
    pub encapsulation: Encapsulation,
    /// Which bytes of the received datagram are application data.
    pub payload: Range<usize>,
}

/// A client's data that was left alone, since a request that came before it may not have been handled yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client has no such channel, or no permission for the peer, so far")]
pub struct TooEarly;

/// How application data leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encapsulation {
    /// As it is: towards peers.
    Bare,
    /// As it is, and in one piece: towards IPv4 peers, with the DF bit set. Only where
    /// [`Config::dont_fragment`](crate::Config::dont_fragment) says that this is possible.
    ///
    /// [RFC 8656, section 14](https://www.rfc-editor.org/rfc/rfc8656#section-14)
    Unfragmented,
    /// In ChannelData: towards a client that has bound this channel.
    Channel(ChannelNumber),
    /// In a Data indication: towards a client that has a permission for the peer, and no channel.
    ///
    /// [RFC 8656, section 11.3](https://www.rfc-editor.org/rfc/rfc8656#section-11.3)
    Data {
        /// Where the data came from.
        peer: SocketAddr,
        /// The transaction ID of the indication.
        transaction: TransactionId,
    },
}

/// What comes before the payload on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// Nothing.
    None,
    /// The header of ChannelData.
    Channel([u8; ChannelData::HEADER_LEN]),
    /// All of a Data indication but its payload.
    Data(DataHeader),
}

impl Header {
    /// The bytes.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Channel(header) => header,
            Self::Data(header) => header.as_bytes(),
        }
    }
}

impl Encapsulation {
    /// Towards a peer, with the DF bit or without.
    #[inline]
    pub(crate) const fn to_peer(unfragmented: bool) -> Self {
        if unfragmented { Self::Unfragmented } else { Self::Bare }
    }
}

impl Forward {
    /// What to send before the payload.
    #[inline]
    #[must_use]
    pub fn header(&self) -> Header {
        // No datagram is longer than a length field can say.
        let len = u16::try_from(self.payload.len()).unwrap_or(u16::MAX);
        match self.encapsulation {
            Encapsulation::Bare | Encapsulation::Unfragmented => Header::None,
            Encapsulation::Channel(channel) => Header::Channel(ChannelData::header(channel.get(), len)),
            Encapsulation::Data { peer, transaction } => Header::Data(DataHeader::new(transaction, peer, len)),
        }
    }

    /// How many zeros to send behind the payload: up to 3.
    #[inline]
    #[must_use]
    pub const fn padding(&self) -> usize {
        match self.encapsulation {
            // Over UDP, ChannelData need not be padded: RFC 8656, section 12.5.
            Encapsulation::Bare | Encapsulation::Unfragmented | Encapsulation::Channel(_) => 0,
            Encapsulation::Data { .. } => DataHeader::padding(self.payload.end - self.payload.start),
        }
    }

    /// The whole datagram to send, copied together: for tests and recordings, not for the data path.
    #[must_use]
    pub fn to_vec(&self, datagram: &[u8]) -> Vec<u8> {
        let payload = datagram.get(self.payload.clone()).unwrap_or_default();
        let mut bytes = [self.header().as_bytes(), payload].concat();
        bytes.resize(bytes.len() + self.padding(), 0);
        bytes
    }

    /// The channel that the payload leaves in, if it does.
    #[must_use]
    pub const fn channel(&self) -> Option<ChannelNumber> {
        match self.encapsulation {
            Encapsulation::Channel(channel) => Some(channel),
            Encapsulation::Bare | Encapsulation::Unfragmented | Encapsulation::Data { .. } => None,
        }
    }
}
