//! The wire format of a TURN relay, without I/O: classify a datagram, parse requests, build responses, ChannelData, Send and Data
//! indications.
//!
//! [`classify`](fn@classify) tells STUN from ChannelData in a nanosecond or two. [`Message::parse`] checks the structure and
//! FINGERPRINT of a STUN message. [`Message::verify_integrity`] authenticates it. [`Message::request`] decodes its attributes.
//! [`Response`] makes the response, for [`Message::transaction`].
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
//! Relayed data has types of its own, which allocate no memory: [`ChannelData`] and [`SendIndication`] say which bytes of a datagram
//! are the data, and [`DataHeader`] is what to write in front of it.
//!
//! Bytes from the network are not trusted: any input gives a value or a typed error. The first of repeated attributes counts,
//! attributes after MESSAGE-INTEGRITY are ignored, and unknown numbers are kept in newtypes.
//! Do not respond to a [`ParseError`]; [`RequestError`] says how to respond.
//!
//! Out of scope: writing requests, reading responses beyond their header, TCP framing, and attributes that requests to a relay do not
//! use. Values are decoded and encoded by stun-types and turn-types.
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
