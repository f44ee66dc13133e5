//! Data to be relayed, and how it is wrapped.

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
    /// The relayed transport address with this port, of the same family as the remote address.
    Relay(AllocationPort),
}

/// A datagram to be relayed: from `from` to `to`, send [`Self::header`], then `datagram[payload]`, then [`Self::padding`] zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The address to send from.
    pub from: Via,
    /// The address to send to.
    pub to: SocketAddr,
    /// How the payload is wrapped.
    pub encapsulation: Encapsulation,
    /// The application data, as a range of the received datagram.
    pub payload: Range<usize>,
}

/// Data of a client was not handled, since a request that came before it may not have been handled yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client has no such channel, or no permission for the peer, so far")]
pub struct TooEarly;

/// How application data is wrapped when it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encapsulation {
    /// Not at all, towards peers.
    Bare,
    /// Not at all, with the DF bit set, towards IPv4 peers. Only if
    /// [`Config::dont_fragment`](crate::Config::dont_fragment) is set.
    ///
    /// [RFC 8656, section 14](https://www.rfc-editor.org/rfc/rfc8656#section-14)
    Unfragmented,
    /// In ChannelData, towards a client that has bound this channel.
    Channel(ChannelNumber),
    /// In a Data indication, towards a client that has a permission for the peer but no channel.
    ///
    /// [RFC 8656, section 11.3](https://www.rfc-editor.org/rfc/rfc8656#section-11.3)
    Data {
        /// The peer that sent the data.
        peer: SocketAddr,
        /// The transaction ID of the indication.
        transaction: TransactionId,
    },
}

/// The bytes to send before the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// None.
    None,
    /// The header of ChannelData.
    Channel([u8; ChannelData::HEADER_LEN]),
    /// A Data indication up to its payload.
    Data(DataHeader),
}

impl Header {
    /// The bytes; empty for [`Self::None`].
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
    /// For a peer, with the DF bit or without.
    #[inline]
    pub(crate) const fn to_peer(unfragmented: bool) -> Self {
        if unfragmented { Self::Unfragmented } else { Self::Bare }
    }
}

impl Forward {
    /// The bytes to send before the payload.
    #[inline]
    #[must_use]
    pub fn header(&self) -> Header {
        // No datagram is too long for the length field.
        let len = u16::try_from(self.payload.len()).unwrap_or(u16::MAX);
        match self.encapsulation {
            Encapsulation::Bare | Encapsulation::Unfragmented => Header::None,
            Encapsulation::Channel(channel) => Header::Channel(ChannelData::header(channel.get(), len)),
            Encapsulation::Data { peer, transaction } => Header::Data(DataHeader::new(transaction, peer, len)),
        }
    }

    /// How many zero bytes to send after the payload: 0 to 3.
    #[inline]
    #[must_use]
    pub const fn padding(&self) -> usize {
        match self.encapsulation {
            // Over UDP, ChannelData need not be padded: RFC 8656, section 12.5.
            Encapsulation::Bare | Encapsulation::Unfragmented | Encapsulation::Channel(_) => 0,
            Encapsulation::Data { .. } => DataHeader::padding(self.payload.end - self.payload.start),
        }
    }

    /// A copy of the whole datagram to send. For tests and recordings, not for the data path.
    #[must_use]
    pub fn to_vec(&self, datagram: &[u8]) -> Vec<u8> {
        let payload = datagram.get(self.payload.clone()).unwrap_or_default();
        let mut bytes = [self.header().as_bytes(), payload].concat();
        bytes.resize(bytes.len() + self.padding(), 0);
        bytes
    }

    /// The channel that the payload is sent in, if any.
    #[must_use]
    pub const fn channel(&self) -> Option<ChannelNumber> {
        match self.encapsulation {
            Encapsulation::Channel(channel) => Some(channel),
            Encapsulation::Bare | Encapsulation::Unfragmented | Encapsulation::Data { .. } => None,
        }
    }
}
