//! A simulated client of a world.

use std::net::SocketAddr;

use stun_types::{
    attribute::{ErrorCode, Nonce, Realm, Username, XorMappedAddress},
    message::{IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageWriteVec, StunWriteError},
    prelude::*,
};
use turn_auth::Credentials;
use turn_types::attribute::XorRelayedAddress;

/// A client: its state, and how it handles responses.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) socket: SocketAddr,
    pub(super) credentials: Credentials,
    /// The realm and the nonce.
    pub(super) challenge: Option<(String, String)>,
    pub(super) relayed: Vec<SocketAddr>,
    /// Its last datagram.
    pub(super) last: Option<Vec<u8>>,
}

impl Client {
    pub(super) const fn new(socket: SocketAddr, credentials: Credentials) -> Self {
        Self { socket, credentials, challenge: None, relayed: Vec::new(), last: None }
    }

    pub(super) fn sign(&self, message: &mut MessageWriteVec) -> Result<(), StunWriteError> {
        let Some((realm, nonce)) = &self.challenge else { return Ok(()) };
        let Credentials { username, password } = self.credentials.clone();
        message.add_attribute(&Username::new(&username)?)?;
        message.add_attribute(&Realm::new(realm)?)?;
        message.add_attribute(&Nonce::new(nonce)?)?;
        let key = LongTermKeyCredentials::new(username, password.to_string(), realm.clone())
            .make_key(IntegrityAlgorithm::Sha1);
        message.add_message_integrity_with_key(&key, IntegrityAlgorithm::Sha1)
    }

    /// Handles a response. Returns whether it is a challenge that another attempt may answer.
    pub(super) fn take_answer(&mut self, bytes: &[u8], was_signed: bool) -> bool {
        let Ok(response) = Message::from_bytes(bytes) else { return false };
        if response.attribute::<XorMappedAddress>().is_ok() {
            let transaction = response.transaction_id();
            let relayed = (0..).map_while(|n| response.nth_attribute::<XorRelayedAddress>(n).ok());
            let relayed: Vec<_> = relayed.map(|relayed| relayed.addr(transaction)).collect();
            if !relayed.is_empty() {
                self.relayed = relayed;
            }
        }
        let Ok(error) = response.attribute::<ErrorCode>() else { return false };
        let (Ok(realm), Ok(nonce)) = (response.attribute::<Realm>(), response.attribute::<Nonce>()) else {
            return false;
        };
        self.challenge = Some((realm.realm().to_owned(), nonce.nonce().to_owned()));
        match error.code() {
            401 => !was_signed,
            438 => true,
            _ => false,
        }
    }
}
