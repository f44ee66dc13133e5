//! A TURN client ([RFC 8656](https://www.rfc-editor.org/rfc/rfc8656)) over UDP, for tests, self-checks and load tools.
//!
//! [`TurnClient`] does no I/O. Start a request with [`TurnClient::request`], send the datagrams from
//! [`TurnClient::poll_transmit`] to the server, pass received datagrams to [`TurnClient::handle_datagram`], call
//! [`TurnClient::handle_timeout`] at [`TurnClient::poll_timeout`], and take answers from
//! [`TurnClient::poll_answer`]. The client follows challenges (401) and stale nonces (438) by itself, and retransmits requests
//! as in [RFC 8489, section 6.2.1](https://www.rfc-editor.org/rfc/rfc8489#section-6.2.1).
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
//! [`BlockingClient`] relays through channels. Use [`encode_send_indication`] and [`decode_data_indication`] to relay without a channel.
//! The client trusts its server: it is not hardened against a hostile one.
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
