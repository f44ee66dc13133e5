//! The transport addresses of a capture, with their roles.

use std::{collections::HashMap, net::SocketAddr};

use crate::Row;

/// A transport address that occurs in a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The transport address.
    pub address: SocketAddr,
    /// Its role for the relay.
    pub role: Role,
    /// How many packets it sent or received; 0 for a peer that occurs only in attributes.
    pub packets: u32,
}

/// The role of a transport address for the relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Role {
    /// Not known.
    #[default]
    Unknown = 0,
    /// A client.
    Client = 1,
    /// The relay's listening address.
    Relay = 2,
    /// A relayed transport address.
    Relayed = 3,
    /// A peer.
    Peer = 4,
}

/// Numbers the transport addresses of a capture.
#[derive(Debug, Default)]
pub(crate) struct Endpoints {
    list: Vec<Endpoint>,
    index: HashMap<SocketAddr, u32>,
}

impl Endpoints {
    pub(crate) fn list(&self) -> &[Endpoint] {
        &self.list
    }

    /// The number of `address`, which occurs in an attribute.
    pub(crate) fn mention(&mut self, address: SocketAddr) -> u32 {
        *self.index.entry(address).or_insert_with(|| {
            self.list.push(Endpoint { address, role: Role::Unknown, packets: 0 });
            u32::try_from(self.list.len() - 1).unwrap_or(Row::NONE)
        })
    }

    /// The number of `address`, which sends or receives a packet.
    pub(crate) fn note(&mut self, address: SocketAddr) -> u32 {
        let index = self.mention(address);
        if let Some(endpoint) = self.get_mut(index) {
            endpoint.packets += 1;
        }
        index
    }

    pub(crate) fn role(&self, index: u32) -> Role {
        self.get(index).map_or(Role::Unknown, |endpoint| endpoint.role)
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Endpoint> {
        self.list.get(usize::try_from(index).ok()?)
    }

    fn get_mut(&mut self, index: u32) -> Option<&mut Endpoint> {
        self.list.get_mut(usize::try_from(index).ok()?)
    }

    /// Sets an endpoint's role. The relay's own addresses keep theirs, and a client stays one even if it is also a peer.
    pub(crate) fn set_role(&mut self, index: u32, role: Role) {
        if let Some(endpoint) = self.get_mut(index)
            && !matches!(endpoint.role, Role::Relay | Role::Relayed)
            && (endpoint.role == Role::Unknown || role != Role::Peer)
        {
            endpoint.role = role;
        }
    }

    pub(crate) fn is_relayed(&self, address: SocketAddr) -> bool {
        self.index.get(&address).is_some_and(|index| self.role(*index) == Role::Relayed)
    }
}
