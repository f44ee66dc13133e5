use std::{net::SocketAddr, time::Duration};

use relay_replay::{Allocate, ClientId, Family, Request, World, WorldConfig, WorldError};
use serde::Deserialize;
use wasm_bindgen::{JsError, prelude::wasm_bindgen};

/// A relay in the browser whose client the visitor plays.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Live {
    world: World,
    clients: Vec<ClientId>,
}

/// What the visitor does.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Action {
    AddClient { socket: SocketAddr },
    Binding { client: usize },
    Allocate { client: usize, dual_stack: bool },
    Refresh { client: usize, seconds: Option<u64> },
    Permission { client: usize, peer: SocketAddr },
    Bind { client: usize, channel: u16, peer: SocketAddr },
    Send { client: usize, channel: u16, text: String },
    SendTo { client: usize, peer: SocketAddr, text: String },
    PeerSend { client: usize, peer: SocketAddr, text: String },
    SendAgain { client: usize, at: usize, mask: u8 },
    Move { client: usize, socket: SocketAddr },
    WrongPassword { client: usize },
    Credentials { client: usize, seconds: i64 },
    Advance { seconds: u64 },
    Drain,
}

#[wasm_bindgen]
impl Live {
    /// A relay at `unix_seconds` whose choices come from `seed`, and no client yet.
    ///
    /// # Errors
    ///
    /// When the relay cannot be made.
    #[wasm_bindgen(constructor)]
    pub fn new(seed: u32, unix_seconds: f64) -> Result<Self, JsError> {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&seed.to_le_bytes());
        let config = WorldConfig { indications: true, ..WorldConfig::default() };
        // Whatever is no date becomes the epoch.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
        let world = World::with_config(bytes, unix_seconds as u64, config)?;
        Ok(Self { world, clients: Vec::new() })
    }

    /// Does what `action`, as JSON, says; returns what was recorded of it: more bytes of the capture.
    ///
    /// # Errors
    ///
    /// When the action is unknown or not possible now; in words for the visitor.
    pub fn act(&mut self, action: &str) -> Result<Vec<u8>, JsError> {
        let action = serde_json::from_str(action)?;
        self.perform(action)?;
        Ok(self.world.take_recording())
    }

    /// Where the client's peers reach it, one address in a line.
    #[must_use]
    pub fn relayed(&self, client: usize) -> String {
        let relayed = self.clients.get(client).and_then(|client| self.world.relayed(*client).ok());
        let relayed: Vec<_> = relayed.unwrap_or_default().iter().map(SocketAddr::to_string).collect();
        relayed.join("\n")
    }

    fn client(&self, client: usize) -> Result<ClientId, WorldError> {
        self.clients.get(client).copied().ok_or(WorldError::NoClient(client))
    }

    fn perform(&mut self, action: Action) -> Result<(), WorldError> {
        match action {
            Action::AddClient { socket } => {
                let client = self.world.add_client(socket);
                self.clients.push(client);
                Ok(())
            }
            Action::Binding { client } => self.world.request(self.client(client)?, Request::Binding),
            Action::Allocate { client, dual_stack } => {
                let additional_family = dual_stack.then_some(Family::V6);
                let request = Request::Allocate(Allocate { additional_family, ..Allocate::default() });
                self.world.request(self.client(client)?, request)
            }
            Action::Refresh { client, seconds } => {
                let request = Request::Refresh { lifetime: seconds.map(Duration::from_secs) };
                self.world.request(self.client(client)?, request)
            }
            Action::Permission { client, peer } => {
                self.world.request(self.client(client)?, Request::CreatePermission { peers: vec![peer] })
            }
            Action::Bind { client, channel, peer } => {
                self.world.request(self.client(client)?, Request::ChannelBind { channel, peer })
            }
            Action::Send { client, channel, text } => self.world.send(self.client(client)?, channel, text.as_bytes()),
            Action::SendTo { client, peer, text } => self.world.send_to(self.client(client)?, peer, text.as_bytes()),
            Action::PeerSend { client, peer, text } => {
                self.world.send_from_peer(peer, self.client(client)?, text.as_bytes())
            }
            Action::SendAgain { client, at, mask } => self.world.send_again(self.client(client)?, at, mask),
            Action::Move { client, socket } => self.world.move_client(self.client(client)?, socket),
            Action::WrongPassword { client } => self.world.set_password(self.client(client)?, "a-wrong-password"),
            Action::Credentials { client, seconds } => self.world.set_expiry(self.client(client)?, seconds),
            Action::Advance { seconds } => {
                self.world.advance(seconds);
                Ok(())
            }
            Action::Drain => {
                self.world.drain();
                Ok(())
            }
        }
    }
}
