use std::{net::SocketAddr, time::Duration};

use stun_types::{
    AddressFamily,
    message::{Message, MessageWriteVec, StunWriteError, TransactionId},
    prelude::*,
};
use turn_types::{
    attribute::{
        AdditionalAddressFamily, ChannelNumber, DontFragment, EvenPort, Lifetime, RequestedAddressFamily,
        RequestedTransport, ReservationToken, XorPeerAddress,
    },
    message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH},
};

/// What to ask the server for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// This client's address as the server sees it. Not authenticated.
    Binding,
    /// A relayed transport address.
    Allocate(Allocate),
    /// A new lifetime for the allocation; zero deletes it.
    Refresh {
        /// LIFETIME in whole seconds; `None` for the server's default.
        lifetime: Option<Duration>,
    },
    /// Permissions for the addresses of these peers.
    CreatePermission {
        /// The peers. Their ports are ignored.
        peers: Vec<SocketAddr>,
    },
    /// A channel to a peer.
    ChannelBind {
        /// The number, `0x4000..=0x7FFF`.
        channel: u16,
        /// The peer.
        peer: SocketAddr,
    },
}

/// The attributes of an Allocate request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocate {
    /// REQUESTED-TRANSPORT, an IP protocol number: 17 for UDP. Other values are for testing that the server refuses them.
    pub transport: u8,
    /// LIFETIME in whole seconds, if any.
    pub lifetime: Option<Duration>,
    /// REQUESTED-ADDRESS-FAMILY, if any; without it the server allocates IPv4.
    pub family: Option<Family>,
    /// ADDITIONAL-ADDRESS-FAMILY, if any: IPv6 besides IPv4.
    pub additional_family: Option<Family>,
    /// EVEN-PORT, if any, and whether to reserve the next higher port.
    pub even_port: Option<bool>,
    /// RESERVATION-TOKEN, if any.
    pub reservation_token: Option<u64>,
    /// DONT-FRAGMENT.
    pub dont_fragment: bool,
}

impl Default for Allocate {
    fn default() -> Self {
        Self {
            transport: 17,
            lifetime: None,
            family: None,
            additional_family: None,
            even_port: None,
            reservation_token: None,
            dont_fragment: false,
        }
    }
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of `address`.
    #[must_use]
    pub const fn of(address: SocketAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl From<Family> for AddressFamily {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => Self::IPV4,
            Family::V6 => Self::IPV6,
        }
    }
}

impl Request {
    /// Encodes the request without authentication attributes, for callers that sign and send it themselves.
    ///
    /// # Errors
    ///
    /// When it does not fit a STUN message.
    pub fn write(&self, transaction: TransactionId) -> Result<MessageWriteVec, StunWriteError> {
        let method = match self {
            Self::Binding => stun_types::message::BINDING,
            Self::Allocate(_) => ALLOCATE,
            Self::Refresh { .. } => REFRESH,
            Self::CreatePermission { .. } => CREATE_PERMISSION,
            Self::ChannelBind { .. } => CHANNEL_BIND,
        };
        let kind =
            stun_types::message::MessageType::from_class_method(stun_types::message::MessageClass::Request, method);
        let mut message = Message::builder(kind, transaction, MessageWriteVec::new());
        match self {
            Self::Binding => {}
            Self::Allocate(allocate) => allocate.write(&mut message)?,
            Self::Refresh { lifetime } => write_lifetime(&mut message, *lifetime)?,
            Self::CreatePermission { peers } => {
                for peer in peers {
                    // `add_attribute` refuses a second attribute of the same type.
                    message.push_attribute_unchecked(&XorPeerAddress::new(*peer, transaction));
                }
            }
            Self::ChannelBind { channel, peer } => {
                message.add_attribute(&ChannelNumber::new(*channel))?;
                message.add_attribute(&XorPeerAddress::new(*peer, transaction))?;
            }
        }
        Ok(message)
    }
}

impl Allocate {
    fn write(&self, message: &mut MessageWriteVec) -> Result<(), StunWriteError> {
        message.add_attribute(&RequestedTransport::new(self.transport))?;
        write_lifetime(message, self.lifetime)?;
        if let Some(family) = self.family {
            message.add_attribute(&RequestedAddressFamily::new(family.into()))?;
        }
        if let Some(family) = self.additional_family {
            message.add_attribute(&AdditionalAddressFamily::new(family.into()))?;
        }
        if let Some(reserve_next) = self.even_port {
            message.add_attribute(&EvenPort::new(reserve_next))?;
        }
        if let Some(token) = self.reservation_token {
            message.add_attribute(&ReservationToken::new(token))?;
        }
        if self.dont_fragment {
            message.add_attribute(&DontFragment::new())?;
        }
        Ok(())
    }
}

fn write_lifetime(message: &mut MessageWriteVec, lifetime: Option<Duration>) -> Result<(), StunWriteError> {
    match lifetime {
        Some(lifetime) => message.add_attribute(&Lifetime::new(u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX))),
        None => Ok(()),
    }
}
