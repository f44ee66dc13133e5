use std::{net::SocketAddr, time::Duration};

use stun_types::{
    attribute::{AttributeType, ErrorCode, XorMappedAddress},
    message::{Message, MessageClass},
};
use turn_types::attribute::{AddressErrorCode, Lifetime, ReservationToken, XorRelayedAddress};

use crate::Request;

/// The result of a request.
pub type Answer = Result<Success, Failure>;

/// The content of a success response.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Success {
    /// To a Binding request.
    Binding {
        /// XOR-MAPPED-ADDRESS: this client's transport address as the server sees it.
        mapped: SocketAddr,
    },
    /// To an Allocate request.
    Allocated(Allocated),
    /// To a Refresh request.
    Refreshed {
        /// LIFETIME.
        lifetime: Duration,
    },
    /// To a CreatePermission request.
    Permitted,
    /// To a ChannelBind request.
    ChannelBound,
}

/// An allocation, as its server describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocated {
    /// XOR-RELAYED-ADDRESS, one per family.
    pub relayed: Vec<SocketAddr>,
    /// XOR-MAPPED-ADDRESS.
    pub mapped: SocketAddr,
    /// LIFETIME.
    pub lifetime: Duration,
    /// RESERVATION-TOKEN.
    pub reservation_token: Option<u64>,
    /// The code of ADDRESS-ERROR-CODE: why a second family was not granted.
    pub address_error: Option<u16>,
}

impl Allocated {
    /// The relayed transport address of the family of `peer`.
    #[must_use]
    pub fn relayed_towards(&self, peer: SocketAddr) -> Option<SocketAddr> {
        self.relayed.iter().copied().find(|relayed| relayed.is_ipv4() == peer.is_ipv4())
    }
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The server sent an error response.
    #[error("the server answered {code} ({reason})")]
    Rejected {
        /// ERROR-CODE.
        code: u16,
        /// Its reason phrase, possibly empty.
        reason: String,
        /// UNKNOWN-ATTRIBUTES.
        unknown_attributes: Vec<u16>,
    },
    /// The server did not respond to any transmission.
    #[error("the server did not answer")]
    TimedOut,
    /// MESSAGE-INTEGRITY of the response is missing or wrong. (A client in production would discard the response and keep waiting.)
    #[error("the server's answer is not signed with the client's credentials")]
    BadIntegrity,
    /// A success response lacks an attribute that it must have.
    #[error("the server's answer lacks {0}")]
    Incomplete(&'static str),
    /// The request cannot be encoded.
    #[error("the request does not fit a STUN message: {0}")]
    Unwritable(String),
}

impl Failure {
    /// The ERROR-CODE, if the server sent an error response.
    #[must_use]
    pub const fn code(&self) -> Option<u16> {
        match self {
            Self::Rejected { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// Reads the response to `request`. The caller has checked its integrity.
pub(crate) fn read(request: &Request, response: &Message<'_>) -> Answer {
    if response.has_class(MessageClass::Error) {
        return Err(read_error(response));
    }
    Ok(match request {
        Request::Binding => Success::Binding { mapped: mapped(response)? },
        Request::Allocate(_) => Success::Allocated(read_allocated(response)?),
        Request::Refresh { .. } => Success::Refreshed { lifetime: lifetime(response)? },
        Request::CreatePermission { .. } => Success::Permitted,
        Request::ChannelBind { .. } => Success::ChannelBound,
    })
}

fn read_error(response: &Message<'_>) -> Failure {
    let Ok(error) = response.attribute::<ErrorCode>() else { return Failure::Incomplete("ERROR-CODE") };
    let unknown_attributes = response
        .raw_attribute(AttributeType::new(0x000A))
        .map(|raw| raw.value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect());
    Failure::Rejected {
        code: error.code(),
        reason: error.reason().to_owned(),
        unknown_attributes: unknown_attributes.unwrap_or_default(),
    }
}

fn read_allocated(response: &Message<'_>) -> Result<Allocated, Failure> {
    let transaction = response.transaction_id();
    let relayed: Vec<_> = (0..)
        .map_while(|n| response.nth_attribute::<XorRelayedAddress>(n).ok())
        .map(|relayed| relayed.addr(transaction))
        .collect();
    if relayed.is_empty() {
        return Err(Failure::Incomplete("XOR-RELAYED-ADDRESS"));
    }
    Ok(Allocated {
        relayed,
        mapped: mapped(response)?,
        lifetime: lifetime(response)?,
        reservation_token: response.attribute::<ReservationToken>().ok().map(|token| token.token()),
        address_error: response.attribute::<AddressErrorCode>().ok().map(|error| error.error().code()),
    })
}

fn mapped(response: &Message<'_>) -> Result<SocketAddr, Failure> {
    let attribute = response.attribute::<XorMappedAddress>();
    Ok(attribute.map_err(|_| Failure::Incomplete("XOR-MAPPED-ADDRESS"))?.addr(response.transaction_id()))
}

fn lifetime(response: &Message<'_>) -> Result<Duration, Failure> {
    let attribute = response.attribute::<Lifetime>().map_err(|_| Failure::Incomplete("LIFETIME"))?;
    Ok(Duration::from_secs(attribute.seconds().into()))
}
