//! A TURN client ([RFC 8656](https://www.rfc-editor.org/rfc/rfc8656)) over UDP, for tests, self-checks and load tools.
//!
//! [`TurnClient`] does no I/O: ask it for something with [`TurnClient::request`], send what
//! [`TurnClient::poll_transmit`] gives to the server, feed it what arrives with [`TurnClient::handle_datagram`], call
//! [`TurnClient::handle_timeout`] when [`TurnClient::poll_timeout`] is reached, and take answers from
//! [`TurnClient::poll_answer`]. Challenges (401) and stale nonces (438) are answered by itself, requests are
//! retransmitted as [RFC 8489, section 6.2.1](https://www.rfc-editor.org/rfc/rfc8489#section-6.2.1) says.
//!
//! [`BlockingClient`] wraps one around a UDP socket:
//!
//! ```no_run
//! use std::time::Duration;
//! use turn_client::{Allocate, BlockingClient, Credentials};
//!
//! # fn main() -> Result<(), turn_client::Error> {
//! let credentials = Credentials::new("1892160000:salt", "password");
//! let mut client = BlockingClient::connect("127.0.0.1:3478".parse().unwrap(), credentials)?;
//! let allocated = client.allocate(Allocate::default())?;
//! println!("relayed at {:?}", allocated.relayed);
//! client.bind(0x4000, "127.0.0.1:9".parse().unwrap())?;
//! client.send(0x4000, b"hello")?;
//! if let Some((channel, payload)) = client.receive(Duration::from_secs(1))? {
//!     println!("{channel:#x}: {payload:?}");
//! }
//! # Ok(()) }
//! ```
//!
//! [`BlockingClient`] relays through channels; [`encode_send_indication`] and [`decode_data_indication`] do without. It trusts its server: what a hostile server
//! could do to it was no concern.
#![forbid(unsafe_code)]

mod answer;
mod blocking;
mod channel_data;
mod client;
mod indication;
mod request;

pub use answer::{Allocated, Answer, Failure, Success};
pub use blocking::{BlockingClient, Error};
pub use channel_data::{decode_channel_data, encode_channel_data};
pub use client::{Credentials, Received, RequestId, TurnClient};
pub use indication::{
    IcmpError, decode_data_indication, decode_icmp_indication, encode_send_indication,
    encode_unfragmented_send_indication,
};
pub use request::{Allocate, Family, Request};
