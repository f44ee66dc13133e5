//! A simple TURN client for tests.

use std::net::{IpAddr, SocketAddr};

use relay_server::FiveTuple;

use super::{
    credentials::Credentials,
    relay::{RELAY_V4, RELAY_V6, UNIX_TIME},
    request::Request,
};

/// A client: its socket, its credentials, and its last nonce.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) socket: SocketAddr,
    /// The relay's address that it sends to.
    pub(crate) server: IpAddr,
    pub(crate) credentials: Credentials,
    pub(crate) nonce: Vec<u8>,
    pub(crate) transactions: u32,
}

impl Client {
    /// A client with its own credentials, which are valid for a year. It sends to the relay's address of its family.
    pub(crate) fn new(socket: &str) -> Self {
        Self::named(socket, socket)
    }

    /// A client with the credentials of `user`.
    pub(crate) fn named(socket: &str, user: &str) -> Self {
        let socket: SocketAddr = socket.parse().unwrap();
        let server = if socket.is_ipv4() { RELAY_V4.into() } else { RELAY_V6.into() };
        let credentials = Credentials::mint(UNIX_TIME + 365 * 86_400, user);
        Self { socket, server, credentials, nonce: Vec::new(), transactions: 0 }
    }

    pub(crate) const fn five_tuple(&self) -> FiveTuple {
        FiveTuple { client: relay_server::ClientSocket::new(self.socket), server: self.server }
    }

    /// The bytes of `request`, signed, in a new transaction.
    pub(crate) fn sign(&mut self, request: &Request) -> Vec<u8> {
        request.signed(self.next_transaction(), &self.credentials, &self.nonce)
    }

    /// The bytes of `request`, without credentials, in a new transaction.
    pub(crate) fn unsigned(&mut self, request: &Request) -> Vec<u8> {
        request.unsigned(self.next_transaction())
    }

    pub(crate) fn next_transaction(&mut self) -> [u8; 12] {
        self.transactions += 1;
        let mut transaction = *b"transact----";
        transaction[8..].copy_from_slice(&self.transactions.to_be_bytes());
        transaction
    }
}
