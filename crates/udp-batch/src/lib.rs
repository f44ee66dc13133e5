//! UDP sockets on Linux that receive and send many datagrams with one system call.
//!
//! It is made for servers that forward datagrams: one thread, many sockets, one set of buffers, and no memory allocation or copy per
//! datagram.
//!
//! # What it does
//!
//! - [`UdpSocket::receive`] reads up to 32 datagrams with one `recvmmsg`, or runs of equally long datagrams that the kernel has merged
//!   (GRO). Several sockets fill the same [`ReceiveBuffers`]; each datagram carries a tag that says which socket it came from.
//! - [`UdpSocket::send_all`] sends a list of [`Message`]s with as few `sendmmsg` calls as it can. Consecutive datagrams to one destination
//!   become one message, which the kernel splits (GSO). The result of each datagram is reported by index.
//! - Sent and received datagrams have a source and a destination address (`IP_PKTINFO`) and a traffic class (DSCP and ECN).
//! - [`ReceiveBuffers::wrap`] writes a header in front of a received payload, in place, so that it can be forwarded without a copy.
//! - [`Selector`] steers datagrams among sockets that share a port (`SO_REUSEPORT`): by the sender, and by the first two bytes.
//! - [`UdpSocket::take_errors`] reads ICMP errors from the socket's error queue (`IP_RECVERR`).
//! - [`UdpSocket::send_unfragmented`] sets the DF bit. All other datagrams may be fragmented, which a relay has to allow.
//! - [`Received::dropped`] counts the datagrams that the kernel dropped because the receive buffer was full (`SO_RXQ_OVFL`).
//!
//! No call blocks. Use `epoll`, `mio` or `poll` to find out which socket is ready: [`UdpSocket`] implements [`AsFd`](std::os::fd::AsFd).
//!
//! # An example
//!
//! ```
//! use udp_batch::{Config, Cursor, Message, ReceiveBuffers, Sender, UdpSocket};
//!
//! # fn main() -> std::io::Result<()> {
//! let [alice, bob] = [(); 2].map(|()| UdpSocket::bind(([127, 0, 0, 1], 0).into(), &Config::default()));
//! let (alice, bob) = (alice?, bob?);
//!
//! let payloads = [&b"one"[..], b"two", b"three"];
//! let to = bob.local_addr()?;
//! let messages = payloads.iter().map(|payload| Message::new(to, payload));
//! // Reuse the sender and the buffers, and so their memory.
//! let mut sender = Sender::default();
//! alice.send_all(&mut sender, messages, |index, result| {
//!     if let Err(error) = result {
//!         eprintln!("datagram {index} was not sent: {error}");
//!     }
//! });
//!
//! let mut buffers = ReceiveBuffers::new();
//! let mut count = 0;
//! while count < payloads.len() {
//!     match bob.receive("bob", &mut buffers) {
//!         Ok(_) => {}
//!         // A real program waits with epoll.
//!         Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
//!         Err(error) => return Err(error),
//!     }
//!     let mut cursor = Cursor::default();
//!     while let Some(datagram) = buffers.next_datagram(&mut cursor) {
//!         assert_eq!((datagram.tag, datagram.from), ("bob", alice.local_addr()?));
//!         assert_eq!(buffers[datagram.range], *payloads[count]);
//!         count += 1;
//!     }
//!     buffers.clear();
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Where it differs from `quinn-udp`
//!
//! [`quinn-udp`](https://docs.rs/quinn-udp) does what a QUIC endpoint needs, on many systems: one socket, one destination per send call.
//! This crate does what a server with many clients and many sockets needs, on Linux only. It adds `sendmmsg` for datagrams to different
//! destinations, the whole traffic class instead of ECN alone, buffers that sockets share, room for headers, steering among sockets of one
//! port, the error queue, and datagrams that may be fragmented.
//!
//! # Out of scope
//!
//! Other operating systems, waiting, `async`, TCP, `io_uring`, zero-copy sending (`MSG_ZEROCOPY`), receive time stamps, and multicast.
#![deny(unsafe_code)]
#![warn(missing_docs)]

#[cfg(not(target_os = "linux"))]
compile_error!("udp-batch needs Linux: recvmmsg, sendmmsg, UDP_SEGMENT, UDP_GRO, IP_RECVERR");

mod control;
mod error_queue;
mod options;
mod raw_address;
mod receive;
mod selector;
mod send;
mod socket;

pub use self::{
    error_queue::{ErrorOrigin, SendError},
    receive::{BATCH, Cursor, Datagram, HEAD_ROOM, ReceiveBuffers, Remaining, TAIL_ROOM},
    selector::{Pattern, Selector},
    send::{Message, Sender},
    socket::{Config, Received, UdpSocket, can_send_unfragmented, is_family_supported},
};
