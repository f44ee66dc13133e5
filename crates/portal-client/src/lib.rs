//! Keeps a relay registered with its portal: Phoenix channels over WebSocket.
//!
//! [`Session`] is the protocol as a state machine without I/O. Its inputs are time, connection events and messages; its outputs say
//! what to do. [`Client`] drives a session over TCP and TLS, until the relay leaves or gives up the portal for good:
//!
//! ```no_run
//! use portal_client::{Client, Config, Endpoint, Event, Limits, Registration, StampSecret, Token, TrustedRoots};
//!
//! # async fn register(stop: impl Future<Output = ()>) -> Result<(), Box<dyn std::error::Error>> {
//! let registration = Registration { ipv4: Some([203, 0, 113, 7].into()), ..Registration::default() };
//! let client = Client::new(Config {
//!     endpoint: Endpoint::new("wss://api.firezone.dev", &TrustedRoots::default())?,
//!     registration,
//!     token: Token::new(".SFMyNTY.g2gDaAN3A25pbG0...")?,
//!     stamp_secret: StampSecret::new("4c98bf59c99b3e46..."),
//!     limits: Limits::default(),
//!     relay_version: "1.0.0",
//!     seed: [0; 32],
//! });
//! client.run(|event| if event == Event::Ready { println!("registered") }, stop).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Keep relaying while the portal is out of reach. Events about the connection are for logs and readiness. Only the first
//! [`Event::Ready`] and a [`Fatal`] mean more: that the relay may serve, and that the registration is given up for good. The relay
//! sends the portal the same secret each time it joins.
//!
//! HTTP proxies are out of scope.
#![forbid(unsafe_code)]

mod backoff;
mod client;
mod connector;
mod endpoint;
mod failure;
mod limits;
mod message;
mod race;
mod refusal;
mod registration;
mod secret;
mod session;
mod socket;
mod tls;
mod user_agent;

pub use client::{Client, Config};
pub use endpoint::{ApiUrlError, Endpoint, EndpointError};
pub use failure::{Failure, Fatal};
pub use limits::Limits;
pub use registration::Registration;
pub use secret::{StampSecret, Token, TokenError};
pub use session::{Event, Output, Session};
pub use tls::{TlsError, TrustedRoots};

// Needed for its features only: they compile out the TRACE records of the WebSocket crate, which would contain the token and
// the secret.
use log as _;
