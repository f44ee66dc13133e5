use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

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

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
