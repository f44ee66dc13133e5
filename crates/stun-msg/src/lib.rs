//! The wire format of a TURN relay, without I/O: classify a datagram, parse requests, build responses, ChannelData, Send and Data
//! indications.
//!
//! [`classify`](fn@classify) tells STUN from ChannelData in a nanosecond or two. A STUN message goes to [`Message::parse`], which checks its structure
//! and FINGERPRINT; who sent it is for the caller to find out ([`Message::verify_integrity`]), and then [`Message::request`] types its
//! attributes. [`Response`] answers, to [`Message::transaction`].
//!
//! ```
//! use std::net::SocketAddr;
//! use stun_msg::{Classified, Message, Request, Response, classify};
//!
//! // A Binding request without attributes.
//! let datagram = [0x00, 0x01, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
//! let client: SocketAddr = "192.0.2.1:32853".parse()?;
//!
//! assert_eq!(classify(&datagram), Ok(Classified::Stun));
//! let message = Message::parse(&datagram)?;
//! assert_eq!(message.request(), Ok(Request::Binding));
//!
//! let answer = Response::binding_success(message.transaction(), client).finish(None);
//! assert_eq!(Message::parse(&answer)?.transaction_id(), message.transaction_id());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What relays data goes its own way, which allocates nothing: [`ChannelData`], [`SendIndication`] and [`DataHeader`] say where the data lies
//! in a datagram, and what to put in front of it.
//!
//! Bytes from the network are never trusted: whatever they are, the answer is a value or a typed error. Of attributes that occur repeatedly the
//! first counts, what follows MESSAGE-INTEGRITY is invisible, and unknown numbers survive in new-types.
//! [`ParseError`] is not worth an answer; [`RequestError`] says which one is due.
//!
//! Out of scope: writing requests, reading responses beyond their header, TCP framing, and every attribute that no
//! request to a relay has a use for. Values are decoded and encoded by stun-types and turn-types.
#![forbid(unsafe_code)]

mod attribute;
mod channel_data;
mod classic;
mod classify;
mod error;
mod error_code;
mod fingerprint;
mod header;
mod indication;
mod integrity;
mod message;
mod method;
mod password_algorithm;
mod redact;
mod request;
mod response;
mod transaction;

#[cfg(test)]
mod rfc5769;
#[cfg(test)]
mod testing;

pub use attribute::{AttributeType, FamilyCode};
pub use channel_data::ChannelData;
pub use classic::ClassicBinding;
pub use classify::{Classified, classify};
pub use error::{ClassifyError, ParseError};
pub use error_code::ErrorCode;
pub use header::Class;
pub use indication::{DataHeader, Icmp, SendError, SendIndication};
pub use integrity::{IntegrityError, IntegrityKey};
pub use message::Message;
pub use method::Method;
pub use password_algorithm::{PasswordAlgorithm, RequestedAlgorithm};
pub use redact::redact_data;
pub use request::{Allocate, ChannelBind, CreatePermission, Refresh, Request, RequestError};
pub use response::{AddressError, AllocateSuccess, Response};
pub use transaction::{Transaction, TransactionId};
