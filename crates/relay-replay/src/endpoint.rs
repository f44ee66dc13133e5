use std::{collections::HashMap, net::SocketAddr};

use crate::Row;

/// A transport address that occurs in a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address.
    pub address: SocketAddr,
    /// What it is to the relay.
    pub role: Role,
    /// How many packets come from it or go to it; 0 for a peer that is only spoken of.
    pub packets: u32,
}

/// What a transport address is to the relay.
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

    /// The number of `address`, which a packet speaks of.
    pub(crate) fn mention(&mut self, address: SocketAddr) -> u32 {
        *self.index.entry(address).or_insert_with(|| {
            self.list.push(Endpoint { address, role: Role::Unknown, packets: 0 });
            u32::try_from(self.list.len() - 1).unwrap_or(Row::NONE)
        })
    }

    /// The number of `address`, which a packet comes from or goes to.
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

    /// Says what an endpoint is. What is known of the relay's own addresses is not taken back: a client may be a peer too.
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
