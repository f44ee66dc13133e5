use std::{
    fmt,
    net::{IpAddr, SocketAddr, SocketAddrV6},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! socket {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(SocketAddr);

        impl $name {
            /// Wraps `address`.
            #[must_use]
            pub const fn new(address: SocketAddr) -> Self {
                Self(address)
            }

            /// The address and port.
            #[must_use]
            pub const fn address(self) -> SocketAddr {
                self.0
            }
        }

        impl From<SocketAddr> for $name {
            fn from(address: SocketAddr) -> Self {
                Self(address)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                parts(self.0).serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Deserialize::deserialize(deserializer).map(|parts| Self(of_parts(parts)))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

/// What is serialized: binary formats of serde leave out the scope of an IPv6 address, without which a link-local address cannot be
/// sent to.
type Parts = (IpAddr, u16, u32);

const fn parts(address: SocketAddr) -> Parts {
    match address {
        SocketAddr::V4(v4) => (IpAddr::V4(*v4.ip()), v4.port(), 0),
        SocketAddr::V6(v6) => (IpAddr::V6(*v6.ip()), v6.port(), v6.scope_id()),
    }
}

fn of_parts((ip, port, scope_id): Parts) -> SocketAddr {
    match ip {
        IpAddr::V4(_) => SocketAddr::new(ip, port),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope_id).into(),
    }
}

socket! {
    /// The transport address of a client, as the relay sees it: after any NAT.
    ClientSocket
}

socket! {
    /// The transport address of a peer, as the relay sees it.
    PeerSocket
}

/// The 5-tuple, which identifies a client's allocation: the client's transport address and the relay's address that the
/// client sends to.
///
/// Two of the five fields of [RFC 8656, section 3](https://www.rfc-editor.org/rfc/rfc8656#section-3) are left out: the protocol is
/// always UDP, and the relay listens on one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FiveTuple {
    /// Where the client sends from.
    pub client: ClientSocket,
    /// The relay's local address that the client's packets arrive at.
    pub server: IpAddr,
}

impl fmt::Display for FiveTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.client, self.server)
    }
}

/// The port of a relayed transport address. A dual-stack allocation uses the same port in both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AllocationPort(u16);

impl AllocationPort {
    /// Wraps `port`, in host byte order.
    #[must_use]
    pub const fn new(port: u16) -> Self {
        Self(port)
    }

    /// The port, in host byte order.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for AllocationPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
