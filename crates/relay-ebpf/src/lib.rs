//! The XDP fast path of a TURN relay: forwards data between clients and peers before the kernel delivers it to a socket.
//!
//! - [`rewrite`](fn@rewrite) is the whole data path: it parses a frame's headers, looks its route up once, and writes new headers.
//!   It is `no_std` and independent of the kernel, and runs over a [`Frame`] and a [`Host`]. In the kernel, these are a driver's
//!   buffer and BPF maps; in tests and in the browser, a slice and a model of the host.
//! - [`Flow`] describes one direction between a client and a peer. [`FlowKey`] and [`Route`] are its key and its value in the map.
//! - With the feature `loader` (the default), on Linux, `XdpProgram` loads the program into the kernel, attaches it to
//!   interfaces, installs and removes flows, and reads counters.
//!
//! # Example
//!
//! A client's channel 0x4000 is bound to a peer. A frame with ChannelData from the client becomes a frame with the data alone
//! to the peer:
//!
//! ```
//! use relay_ebpf::{Encapsulation, Flow, FlowKey, Forwarded, Host, Leaving, Link, Reason, Route, Settings, SliceFrame, rewrite};
//!
//! struct OneFlow(Flow);
//!
//! impl Host for OneFlow {
//!     fn settings(&self) -> Settings {
//!         Settings { listen_port: 3478, lowest_port: 49152, highest_port: 65535, ..Settings::NOTHING }
//!     }
//!     fn route(&mut self, key: &FlowKey, route: &mut Route) -> bool {
//!         *route = self.0.route(0).unwrap();
//!         *key == self.0.key()
//!     }
//!     fn next_hop(&mut self, _: &Route, _: &Leaving, _: &mut Link) -> Reason {
//!         Reason::NoNextHop // Not called: with these settings, frames are sent back to the sender.
//!     }
//!     fn fits(&mut self, length: u32) -> bool {
//!         length <= 1500
//!     }
//!     fn identification(&mut self) -> u16 {
//!         0
//!     }
//!     fn random(&mut self) -> u32 {
//!         0
//!     }
//! }
//!
//! let mut host = OneFlow(Flow {
//!     remote: "192.0.2.1:40000".parse().unwrap(),
//!     local: "192.0.2.9:3478".parse().unwrap(),
//!     arrives_in: Encapsulation::Channel(0x4000),
//!     source: "192.0.2.9:50000".parse().unwrap(),
//!     destination: "198.51.100.2:5555".parse().unwrap(),
//!     leaves_in: Encapsulation::Bare,
//! });
//! let mut frame = [
//!     2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 0x08, 0x00, // Ethernet
//!     0x45, 0, 0, 36, 0, 0, 0x40, 0, 64, 17, 0xb6, 0xbe, 192, 0, 2, 1, 192, 0, 2, 9, // IPv4
//!     0x9c, 0x40, 0x0d, 0x96, 0, 16, 0, 0, // UDP, without a checksum
//!     0x40, 0x00, 0, 4, // ChannelData
//!     b'd', b'a', b't', b'a',
//! ];
//! let mut frame = SliceFrame::new(&mut frame, 0).unwrap();
//! let mut forwarded = Forwarded::default();
//! assert_eq!(rewrite(&mut frame, &mut host, &mut forwarded), Reason::Forwarded);
//! assert_eq!(forwarded.payload, 4);
//! assert_eq!(frame.bytes()[..6], [2, 0, 0, 0, 0, 1]);
//! assert_eq!(frame.bytes()[30..34], [198, 51, 100, 2]);
//! assert_eq!(frame.bytes()[42..], *b"data");
//! ```
//!
//! # What it assumes
//!
//! Frames are Ethernet II, with at most one IEEE 802.1Q tag. Addresses are those that this host's interfaces see. A packet that the
//! rewrite cannot handle stays unchanged and goes to user space, so user space must be able to serve every flow by itself.
#![cfg_attr(not(any(test, feature = "loader")), no_std)]

mod address;
mod checksum;
mod encapsulation;
mod entry;
mod flow;
#[cfg(feature = "loader")]
mod flow_error;
mod frame;
mod hop;
mod host;
mod indication;
#[cfg(all(feature = "loader", target_os = "linux"))]
mod loader;
mod neighbour;
mod packet;
mod reason;
mod rewrite;
mod route;
mod seal;
mod settings;
mod statistics;
mod wire;

pub use address::{Address, Be16};
pub use encapsulation::Encapsulation;
pub use entry::Entry;
pub use flow::{Flow, FlowError};
#[cfg(feature = "loader")]
pub use flow_error::{InstallError, RemoveError};
pub use frame::{Frame, SliceFrame};
pub use hop::{DSCP, KeptHop, Question};
pub use host::{Device, Host, Leaving, Link};
#[cfg(all(feature = "loader", target_os = "linux"))]
pub use loader::{
    AttachHint, AttachMode, Capabilities, Config, NextHop, OffloadError, Reading, Run, SINGLE_BUFFER_MTU,
    StatisticsError, StatisticsReader, XdpProgram, is_veth, program,
};
pub use neighbour::Neighbour;
pub use reason::Reason;
pub use rewrite::{Forwarded, rewrite};
pub use route::{FlowKey, Route};
pub use settings::Settings;
#[cfg(feature = "loader")]
pub use statistics::Accumulator;
pub use statistics::Counters;
pub use wire::{MacAddress, MacAddresses, Wire};
