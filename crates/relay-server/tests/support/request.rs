//! Writes requests, valid and invalid ones.

use std::net::{IpAddr, SocketAddr};

use super::{
    credentials::{Credentials, REALM},
    kind,
    wire::{self, append},
};

/// STUN methods. The message type of a request has the same number.
pub(crate) mod method {
    pub(crate) const BINDING: u16 = 0x0001;
    pub(crate) const ALLOCATE: u16 = 0x0003;
    pub(crate) const REFRESH: u16 = 0x0004;
    pub(crate) const SEND: u16 = 0x0006;
    pub(crate) const CREATE_PERMISSION: u16 = 0x0008;
    pub(crate) const CHANNEL_BIND: u16 = 0x0009;
    /// Added to a method, these give the message type of an indication, a success, or an error.
    pub(crate) const INDICATION: u16 = 0x0010;
    pub(crate) const SUCCESS: u16 = 0x0100;
    pub(crate) const ERROR: u16 = 0x0110;
}

/// A message before it is encoded.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    message_type: u16,
    attributes: Vec<(u16, Value)>,
    fingerprint: bool,
}

#[derive(Clone, Debug)]
enum Value {
    Bytes(Vec<u8>),
    Address(XorAddress),
}

impl Request {
    pub(crate) const fn new(message_type: u16) -> Self {
        Self { message_type, attributes: Vec::new(), fingerprint: false }
    }

    pub(crate) const fn method(&self) -> u16 {
        self.message_type
    }

    pub(crate) fn with(mut self, attribute: u16, value: &[u8]) -> Self {
        self.attributes.push((attribute, Value::Bytes(value.to_vec())));
        self
    }

    pub(crate) fn with_peer(mut self, peer: SocketAddr) -> Self {
        self.attributes.push((kind::XOR_PEER_ADDRESS, Value::Address(XorAddress(peer))));
        self
    }

    pub(crate) fn with_lifetime(self, seconds: u32) -> Self {
        self.with(kind::LIFETIME, &seconds.to_be_bytes())
    }

    pub(crate) fn with_family(self, family: u8) -> Self {
        self.with(kind::REQUESTED_ADDRESS_FAMILY, &[family, 0, 0, 0])
    }

    pub(crate) fn with_additional_family(self, family: u8) -> Self {
        self.with(kind::ADDITIONAL_ADDRESS_FAMILY, &[family, 0, 0, 0])
    }

    pub(crate) fn with_even_port(self, reserve_next: bool) -> Self {
        self.with(kind::EVEN_PORT, &[if reserve_next { 0x80 } else { 0 }])
    }

    pub(crate) fn with_token(self, token: &[u8]) -> Self {
        self.with(kind::RESERVATION_TOKEN, token)
    }

    pub(crate) const fn with_fingerprint(mut self) -> Self {
        self.fingerprint = true;
        self
    }

    /// The header and the attributes, without MESSAGE-INTEGRITY and FINGERPRINT.
    pub(crate) fn plain(&self, transaction: [u8; 12]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.message_type.to_be_bytes());
        bytes.extend([0, 0, 0x21, 0x12, 0xA4, 0x42]);
        bytes.extend(transaction);
        for (attribute, value) in &self.attributes {
            match value {
                Value::Bytes(value) => append(&mut bytes, *attribute, value),
                Value::Address(address) => append(&mut bytes, *attribute, &address.encode(transaction)),
            }
        }
        bytes
    }

    /// The message without credentials.
    pub(crate) fn unsigned(&self, transaction: [u8; 12]) -> Vec<u8> {
        let mut bytes = self.plain(transaction);
        if self.fingerprint {
            wire::append_fingerprint(&mut bytes);
        }
        bytes
    }

    /// The message with USERNAME, REALM, NONCE and MESSAGE-INTEGRITY.
    pub(crate) fn signed(&self, transaction: [u8; 12], credentials: &Credentials, nonce: &[u8]) -> Vec<u8> {
        let mut bytes = self.plain(transaction);
        append(&mut bytes, kind::USERNAME, &credentials.username);
        append(&mut bytes, kind::REALM, REALM.as_bytes());
        append(&mut bytes, kind::NONCE, nonce);
        wire::append_integrity(&mut bytes, &credentials.key);
        if self.fingerprint {
            wire::append_fingerprint(&mut bytes);
        }
        bytes
    }
}

/// An address encoded as in XOR-MAPPED-ADDRESS: RFC 8489, section 14.2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct XorAddress(pub(crate) SocketAddr);

impl XorAddress {
    pub(crate) fn encode(self, transaction: [u8; 12]) -> Vec<u8> {
        let (family, address) = match self.0.ip() {
            IpAddr::V4(ip) => (1, ip.octets().to_vec()),
            IpAddr::V6(ip) => (2, ip.octets().to_vec()),
        };
        let mut value = vec![0, family];
        value.extend((self.0.port() ^ 0x2112).to_be_bytes());
        value.extend(address.iter().zip(mask(transaction)).map(|(byte, mask)| byte ^ mask));
        value
    }

    pub(crate) fn decode(value: &[u8], transaction: [u8; 12]) -> SocketAddr {
        let &[0, family, p0, p1, ref address @ ..] = value else { panic!("no XOR address: {value:02x?}") };
        let port = u16::from_be_bytes([p0, p1]) ^ 0x2112;
        let address: Vec<u8> = address.iter().zip(mask(transaction)).map(|(byte, mask)| byte ^ mask).collect();
        let ip = match (family, address.len()) {
            (1, 4) => IpAddr::from(<[u8; 4]>::try_from(address).unwrap()),
            (2, 16) => IpAddr::from(<[u8; 16]>::try_from(address).unwrap()),
            _ => panic!("no XOR address: {value:02x?}"),
        };
        SocketAddr::new(ip, port)
    }
}

fn mask(transaction: [u8; 12]) -> impl Iterator<Item = u8> {
    [0x21, 0x12, 0xA4, 0x42].into_iter().chain(transaction)
}

/// An Allocate for UDP.
pub(crate) fn allocate() -> Request {
    allocate_with(17)
}

/// An Allocate with `protocol` in REQUESTED-TRANSPORT.
pub(crate) fn allocate_with(protocol: u8) -> Request {
    Request::new(method::ALLOCATE).with(kind::REQUESTED_TRANSPORT, &[protocol, 0, 0, 0])
}

/// An Allocate for both families.
pub(crate) fn allocate_dual_stack() -> Request {
    allocate().with_additional_family(2)
}

pub(crate) const fn binding() -> Request {
    Request::new(method::BINDING)
}

pub(crate) const fn refresh() -> Request {
    Request::new(method::REFRESH)
}

pub(crate) fn delete() -> Request {
    refresh().with_lifetime(0)
}

pub(crate) fn bind(channel: u16, peer: SocketAddr) -> Request {
    let [high, low] = channel.to_be_bytes();
    Request::new(method::CHANNEL_BIND).with(kind::CHANNEL_NUMBER, &[high, low, 0, 0]).with_peer(peer)
}

pub(crate) fn permit(peers: &[SocketAddr]) -> Request {
    peers.iter().fold(Request::new(method::CREATE_PERMISSION), |request, peer| request.with_peer(*peer))
}

/// A ChannelData message: RFC 8656, section 12.4.
pub(crate) fn channel_data(channel: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    [&channel.to_be_bytes()[..], &length.to_be_bytes(), data].concat()
}
