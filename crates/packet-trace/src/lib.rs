//! Reads and writes packet captures of a relay, without I/O.
//!
//! [`TraceWriter`] writes the datagrams that a relay received and sent as
//! [pcapng](https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html), which Wireshark, tshark and tcpdump open: raw IP packets with
//! whole IP and UDP headers, the direction as the standard packet flag, and the shard in an option. Custom blocks, which other tools
//! skip, hold what a replay needs besides the packets: a [`TraceHeader`], a [`ShardSnapshot`] of each shard if the relay was running
//! already, and every other [`Input`] of the state machine.
//!
//! [`TraceReader`] reads these traces, and any other pcapng or pcap file of Ethernet, raw IP, Linux cooked or loopback
//! frames. It takes the file in pieces of any size and never panics. An error in the file is a [`ReadError`]; an error in a single
//! packet is an [`Unusable`], and reading goes on.
//!
//! ```
//! use packet_trace::{Datagram, Direction, Limits, Record, Recorded, TraceHeader, TraceReader, TraceWriter};
//!
//! let mut file = Vec::new();
//! let mut writer = TraceWriter::new(TraceHeader::example(), Limits::default(), &mut file);
//! let datagram = Datagram {
//!     source: "192.0.2.7:5000".parse()?,
//!     destination: "203.0.113.1:3478".parse()?,
//!     payload: b"hello",
//! };
//! assert_eq!(writer.packet(0, 1_000, Direction::Inbound, datagram, &mut file), Recorded::Written);
//! writer.finish(&mut file);
//!
//! let mut reader = TraceReader::new();
//! reader.push(&file);
//! reader.end();
//! let mut payloads = Vec::new();
//! while let Some(record) = reader.read()? {
//!     if let Record::Packet(packet) = record
//!         && let Ok(udp) = packet.udp()
//!     {
//!         payloads.push(udp.payload.to_vec());
//!     }
//! }
//! assert_eq!(payloads, [b"hello"]);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! Out of scope: reassembly of IP fragments (see [`Unusable`]), compressed captures, and decoding the payload.
#![forbid(unsafe_code)]

mod accepted;
mod block;
mod datagram;
mod error;
mod frame;
mod header;
mod icmp;
mod input;
mod ip;
mod link;
mod options;
mod packet;
mod pcap;
mod pcapng;
mod peer_policy;
mod reader;
mod snapshot;
mod writer;

pub use accepted::AcceptedCredentials;
pub use datagram::{Checksum, Datagram, UdpPacket, Unusable};
pub use error::ReadError;
pub use header::{
    Clock, FORMAT, RelayBandwidth, RelayConfig, RelayLimits, RelayRate, ShardHeader, TraceHeader, format_of,
};
pub use icmp::IcmpError;
pub use input::{AddressStatus, Crossing, Input, InputRecord, IpFamily, PortNeed, RelayOpened};
pub use link::LinkType;
pub use packet::{Direction, Packet};
pub use peer_policy::PeerPolicy;
pub use reader::{FileKind, Record, TraceReader};
pub use snapshot::ShardSnapshot;
pub use writer::{Limits, Recorded, TraceWriter};
