use std::{net::SocketAddr, time::Duration};

use stun_types::attribute::{AttributeFromRaw, AttributeStaticType, RawAttribute as StunAttribute};
use turn_types::attribute::{
    ChannelNumber, DontFragment, EvenPort, Lifetime, RequestedTransport, ReservationToken, XorPeerAddress,
};

use crate::{AttributeType, Class, FamilyCode, Message, Method, TransactionId, attribute::RawAttribute};

/// A request with its attributes decoded. A missing mandatory attribute is `None` or empty here: the server answers 400.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// [Binding](https://www.rfc-editor.org/rfc/rfc8489#section-3).
    Binding,
    /// [Allocate](https://www.rfc-editor.org/rfc/rfc8656#section-7).
    Allocate(Allocate),
    /// [Refresh](https://www.rfc-editor.org/rfc/rfc8656#section-8).
    Refresh(Refresh),
    /// [CreatePermission](https://www.rfc-editor.org/rfc/rfc8656#section-10).
    CreatePermission(CreatePermission),
    /// [ChannelBind](https://www.rfc-editor.org/rfc/rfc8656#section-12).
    ChannelBind(ChannelBind),
}

/// The attributes of an [Allocate request](https://www.rfc-editor.org/rfc/rfc8656#section-7.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocate {
    /// REQUESTED-TRANSPORT, an IP protocol number: 17 is UDP. Mandatory.
    pub requested_transport: Option<u8>,
    /// LIFETIME, in whole seconds.
    pub lifetime: Option<Duration>,
    /// DONT-FRAGMENT. A server that cannot honour it treats it as unknown.
    pub dont_fragment: bool,
    /// EVEN-PORT: whether the next higher port is to be reserved.
    pub even_port: Option<bool>,
    /// RESERVATION-TOKEN.
    pub reservation_token: Option<[u8; 8]>,
    /// REQUESTED-ADDRESS-FAMILY.
    pub requested_family: Option<FamilyCode>,
    /// ADDITIONAL-ADDRESS-FAMILY.
    pub additional_family: Option<FamilyCode>,
}

/// The attributes of a [Refresh request](https://www.rfc-editor.org/rfc/rfc8656#section-8.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refresh {
    /// LIFETIME, in whole seconds; zero deletes the allocation.
    pub lifetime: Option<Duration>,
    /// REQUESTED-ADDRESS-FAMILY.
    pub requested_family: Option<FamilyCode>,
}

/// The attributes of a [CreatePermission request](https://www.rfc-editor.org/rfc/rfc8656#section-10.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreatePermission {
    /// Every XOR-PEER-ADDRESS, in order; at least one is mandatory.
    pub peers: Vec<SocketAddr>,
}

/// The attributes of a [ChannelBind request](https://www.rfc-editor.org/rfc/rfc8656#section-12.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelBind {
    /// CHANNEL-NUMBER, of any value. Mandatory.
    pub channel: Option<u16>,
    /// XOR-PEER-ADDRESS. Mandatory.
    pub peer: Option<SocketAddr>,
}

/// Why a message is not a request that a server can process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RequestError {
    /// It is an indication or a response: do not respond.
    #[error("not a request")]
    NotARequest,
    /// Its method is unknown: [do not respond](https://www.rfc-editor.org/rfc/rfc8489#section-6.3).
    #[error("unknown method {0:#05x}")]
    UnknownMethod(u16),
    /// It has unknown comprehension-required attributes, each listed once: 420.
    #[error("unknown attributes {0:?}")]
    UnknownAttributes(Vec<AttributeType>),
    /// An attribute has a wrong length or value: 400.
    #[error("{attribute} is malformed")]
    Malformed {
        /// Its type.
        attribute: AttributeType,
    },
}

impl Message<'_> {
    /// Decodes the attributes of a request.
    ///
    /// # Errors
    ///
    /// When it is not a request, its method is unknown, or one of its attributes is malformed, or unknown and comprehension-required.
    pub fn request(&self) -> Result<Request, RequestError> {
        Request::of(self)
    }
}

impl Request {
    fn of(message: &Message<'_>) -> Result<Self, RequestError> {
        if message.class() != Class::Request {
            return Err(RequestError::NotARequest);
        }
        let read = match message.method() {
            Method::BINDING => |_: &Message<'_>| Ok(Self::Binding),
            Method::ALLOCATE => |message: &Message<'_>| Allocate::of(message).map(Self::Allocate),
            Method::REFRESH => |message: &Message<'_>| Refresh::of(message).map(Self::Refresh),
            Method::CREATE_PERMISSION => {
                |message: &Message<'_>| CreatePermission::of(message).map(Self::CreatePermission)
            }
            Method::CHANNEL_BIND => |message: &Message<'_>| ChannelBind::of(message).map(Self::ChannelBind),
            method => return Err(RequestError::UnknownMethod(method.number())),
        };
        let unknown = unknown_attributes(message);
        if unknown.is_empty() { read(message) } else { Err(RequestError::UnknownAttributes(unknown)) }
    }
}

impl Allocate {
    fn of(message: &Message<'_>) -> Result<Self, RequestError> {
        let mut allocate = Self::default();
        for attribute in message.attributes() {
            match attribute.kind {
                AttributeType::REQUESTED_TRANSPORT => first(&mut allocate.requested_transport, || {
                    decode::<RequestedTransport, _>(attribute, |transport| transport.protocol())
                })?,
                AttributeType::LIFETIME => first(&mut allocate.lifetime, || lifetime(attribute))?,
                AttributeType::DONT_FRAGMENT => {
                    allocate.dont_fragment = decode::<DontFragment, _>(attribute, |_| true)?;
                }
                AttributeType::EVEN_PORT => {
                    first(&mut allocate.even_port, || decode::<EvenPort, _>(attribute, |port| port.requested()))?;
                }
                AttributeType::RESERVATION_TOKEN => first(&mut allocate.reservation_token, || {
                    decode::<ReservationToken, _>(attribute, |token| token.token().to_be_bytes())
                })?,
                AttributeType::REQUESTED_ADDRESS_FAMILY => {
                    first(&mut allocate.requested_family, || family(attribute))?;
                }
                AttributeType::ADDITIONAL_ADDRESS_FAMILY => {
                    first(&mut allocate.additional_family, || family(attribute))?;
                }
                _ => {}
            }
        }
        Ok(allocate)
    }
}

impl Refresh {
    fn of(message: &Message<'_>) -> Result<Self, RequestError> {
        let mut refresh = Self::default();
        for attribute in message.attributes() {
            match attribute.kind {
                AttributeType::LIFETIME => first(&mut refresh.lifetime, || lifetime(attribute))?,
                AttributeType::REQUESTED_ADDRESS_FAMILY => first(&mut refresh.requested_family, || family(attribute))?,
                _ => {}
            }
        }
        Ok(refresh)
    }
}

impl CreatePermission {
    fn of(message: &Message<'_>) -> Result<Self, RequestError> {
        let peers = message
            .attributes()
            .filter(|attribute| attribute.kind == AttributeType::XOR_PEER_ADDRESS)
            .map(|attribute| peer(attribute, message.transaction_id()))
            .collect::<Result<_, _>>()?;
        Ok(Self { peers })
    }
}

impl ChannelBind {
    fn of(message: &Message<'_>) -> Result<Self, RequestError> {
        let mut bind = Self::default();
        for attribute in message.attributes() {
            match attribute.kind {
                AttributeType::CHANNEL_NUMBER => {
                    first(&mut bind.channel, || decode::<ChannelNumber, _>(attribute, |number| number.channel()))?;
                }
                AttributeType::XOR_PEER_ADDRESS => {
                    first(&mut bind.peer, || peer(attribute, message.transaction_id()))?;
                }
                _ => {}
            }
        }
        Ok(bind)
    }
}

fn unknown_attributes(message: &Message<'_>) -> Vec<AttributeType> {
    let mut unknown: Vec<_> =
        message.attributes().map(|attribute| attribute.kind).filter(|kind| kind.is_unknown_and_required()).collect();
    unknown.sort_unstable();
    unknown.dedup();
    unknown
}

/// Keeps the first of repeated attributes: <https://www.rfc-editor.org/rfc/rfc8489#section-14>.
fn first<T>(slot: &mut Option<T>, read: impl FnOnce() -> Result<T, RequestError>) -> Result<(), RequestError> {
    if slot.is_none() {
        *slot = Some(read()?);
    }
    Ok(())
}

fn decode<'a, A, T>(attribute: RawAttribute<'a>, read: impl FnOnce(A) -> T) -> Result<T, RequestError>
where
    A: AttributeFromRaw<'a> + AttributeStaticType,
{
    let raw = StunAttribute::new(A::TYPE, attribute.value);
    A::from_raw(raw).map(read).map_err(|_| RequestError::Malformed { attribute: attribute.kind })
}

fn lifetime(attribute: RawAttribute<'_>) -> Result<Duration, RequestError> {
    decode::<Lifetime, _>(attribute, |lifetime| Duration::from_secs(lifetime.seconds().into()))
}

fn peer(attribute: RawAttribute<'_>, transaction: TransactionId) -> Result<SocketAddr, RequestError> {
    decode::<XorPeerAddress, _>(attribute, |peer| peer.addr(transaction.into()))
}

/// Decodes an address family. turn-types would refuse unknown families, which a server has to answer with 440.
fn family(attribute: RawAttribute<'_>) -> Result<FamilyCode, RequestError> {
    match attribute.value {
        &[family, _, _, _] => Ok(FamilyCode(family)),
        _ => Err(RequestError::Malformed { attribute: attribute.kind }),
    }
}

#[cfg(test)]
mod tests;
