//! Keeps a relay registered with its portal: Phoenix channels over WebSocket.
//!
//! [`Session`] is the protocol as a state machine without I/O: time, connection events and messages in, things to do out.
//! [`Client`] drives one over TCP and TLS. It runs until the portal is given up for good or the relay leaves:
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
//! A lost portal is no reason to stop relaying: what this crate reports about the connection concerns logs and readiness,
//! and only the first [`Event::Ready`] and a [`Fatal`] concern more. The same secret is told to the portal each time.
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

// Only its features are wanted: they compile the TRACE records of the WebSocket crate out, which would hold the token and
// the secret.
use log as _;
