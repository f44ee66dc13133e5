//! The kernel's neighbour table, and its notifications of changes (`rtnetlink(7)`).

use std::{
    io,
    net::IpAddr,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    neighbour::{
        NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourHeader, NeighbourMessage, NeighbourState,
    },
};
use nix::sys::{
    socket::{
        AddressFamily as SocketFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
        setsockopt, socket, sockopt::ReceiveTimeout,
    },
    time::TimeVal,
};
use relay_ebpf::Neighbour;

/// How long to wait for the kernel's answer. It usually comes at once.
const PATIENCE: TimeVal = TimeVal::new(1, 0);

/// The notifications to receive: everything that affects a route look-up.
const GROUPS: [u32; 9] = [
    libc::RTNLGRP_LINK,
    libc::RTNLGRP_NEIGH,
    libc::RTNLGRP_IPV4_IFADDR,
    libc::RTNLGRP_IPV4_ROUTE,
    libc::RTNLGRP_IPV4_RULE,
    libc::RTNLGRP_IPV6_IFADDR,
    libc::RTNLGRP_IPV6_ROUTE,
    libc::RTNLGRP_IPV6_RULE,
    libc::RTNLGRP_NEXTHOP,
];

/// An entry of the neighbour table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) state: State,
    /// The Ethernet address, if it is known.
    pub(super) address: Option<[u8; 6]>,
}

/// The states of an entry that differ for this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It has answered recently.
    Confirmed,
    /// Its address may be out of date.
    Unconfirmed,
    /// The kernel is probing it, and sends packets meanwhile.
    Probed,
    /// It does not answer, or has not yet. Nothing is sent to it.
    Unknown,
    /// The entry is maintained by someone else, or the link needs no addresses.
    Given,
}

impl From<&NeighbourMessage> for Entry {
    fn from(message: &NeighbourMessage) -> Self {
        let given = NeighbourFlags::ExtLearned | NeighbourFlags::Sticky;
        let state = match message.header.state {
            _ if message.header.flags.intersects(given) => State::Given,
            NeighbourState::Reachable => State::Confirmed,
            NeighbourState::Stale | NeighbourState::Delay => State::Unconfirmed,
            NeighbourState::Probe => State::Probed,
            NeighbourState::Permanent | NeighbourState::Noarp => State::Given,
            _ => State::Unknown,
        };
        let address = message.attributes.iter().find_map(|attribute| match attribute {
            NeighbourAttribute::LinkLayerAddress(address) => address[..].try_into().ok(),
            _ => None,
        });
        Self { state, address: address.filter(|_| state != State::Unknown) }
    }
}

/// A socket for requests.
#[derive(Debug)]
pub(super) struct Requests {
    socket: OwnedFd,
    sequence: u32,
}

impl Requests {
    /// # Errors
    ///
    /// When the system has no netlink, or a sandbox forbids it.
    pub(super) fn open() -> io::Result<Self> {
        let socket = open_socket(0)?;
        setsockopt(&socket, ReceiveTimeout, &PATIENCE)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// The entry of `neighbour`, if there is one.
    ///
    /// # Errors
    ///
    /// When the kernel does not answer.
    pub(super) fn look_up(&mut self, neighbour: &Neighbour) -> io::Result<Option<Entry>> {
        let message = message(neighbour, NeighbourState::None, NeighbourFlags::empty());
        match self.ask(RouteNetlinkMessage::GetNeighbour(message), 0) {
            Ok(entry) => Ok(entry),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the kernel probe `neighbour` at its known address.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub(super) fn probe(&mut self, neighbour: &Neighbour) -> io::Result<()> {
        self.set(neighbour, NeighbourState::Probe, NeighbourFlags::empty(), NLM_F_REPLACE)
    }

    /// Makes the kernel discard `neighbour`'s address and resolve it by multicast or broadcast.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub(super) fn resolve(&mut self, neighbour: &Neighbour) -> io::Result<()> {
        self.set(neighbour, NeighbourState::Failed, NeighbourFlags::empty(), NLM_F_REPLACE)?;
        self.set(neighbour, NeighbourState::None, NeighbourFlags::Use, NLM_F_CREATE)
    }

    fn set(&mut self, neighbour: &Neighbour, state: NeighbourState, how: NeighbourFlags, flags: u16) -> io::Result<()> {
        let message = message(neighbour, state, how);
        self.ask(RouteNetlinkMessage::NewNeighbour(message), NLM_F_ACK | flags).map(drop)
    }

    /// Sends a request and reads the answer.
    fn ask(&mut self, request: RouteNetlinkMessage, flags: u16) -> io::Result<Option<Entry>> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        (header.flags, header.sequence_number) = (NLM_F_REQUEST | flags, self.sequence);
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
        let mut buffer = [0; 4096];
        loop {
            let length = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            let (header, payload) = parse(&buffer[..length])?.into_parts();
            // A late answer to the previous request.
            if header.sequence_number != self.sequence {
                continue;
            }
            return match payload {
                NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(message)) => {
                    Ok(Some(Entry::from(&message)))
                }
                _ => Ok(None),
            };
        }
    }
}

fn message(neighbour: &Neighbour, state: NeighbourState, flags: NeighbourFlags) -> NeighbourMessage {
    let (family, address) = match neighbour.ip() {
        IpAddr::V4(v4) => (AddressFamily::Inet, NeighbourAddress::Inet(v4)),
        IpAddr::V6(v6) => (AddressFamily::Inet6, NeighbourAddress::Inet6(v6)),
    };
    let mut message = NeighbourMessage::default();
    message.header = NeighbourHeader { family, ifindex: neighbour.interface(), state, flags, ..Default::default() };
    message.attributes.push(NeighbourAttribute::Destination(address));
    message
}

/// A change that the kernel reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The new entry of a neighbour, or none.
    Neighbour(IpAddr, u32, Option<Entry>),
    /// An interface was added, removed or changed.
    Interface,
    /// Anything else that affects look-ups.
    Other,
    /// Notifications were lost, or have a type that the library does not know.
    Unknown,
}

/// A socket for notifications.
#[derive(Debug)]
pub(super) struct Changes(OwnedFd);

impl Changes {
    /// # Errors
    ///
    /// When the system has no netlink, or a sandbox forbids it.
    pub(super) fn open() -> io::Result<Self> {
        let groups = GROUPS.iter().fold(0, |groups, group| groups | 1 << (group - 1));
        open_socket(groups).map(Self)
    }

    /// The next change; `None` if there is none now.
    ///
    /// # Errors
    ///
    /// When the socket cannot be used any more.
    pub(super) fn next(&self) -> io::Result<Option<Change>> {
        let mut buffer = [0; 8192];
        let length = match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT).map_err(io::Error::from) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Some(Change::Unknown)),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(Some(Change::Unknown)),
            Err(error) => return Err(error),
        };
        let change = parse(&buffer[..length]).ok().and_then(|message| match message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(message)) => {
                neighbour_change(&message, Some(Entry::from(&message)))
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelNeighbour(message)) => {
                neighbour_change(&message, None)
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(_) | RouteNetlinkMessage::DelLink(_)) => {
                Some(Change::Interface)
            }
            NetlinkPayload::InnerMessage(_) => Some(Change::Other),
            _ => None,
        });
        Ok(Some(change.unwrap_or(Change::Unknown)))
    }
}

fn neighbour_change(message: &NeighbourMessage, entry: Option<Entry>) -> Option<Change> {
    let ip = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => Some(IpAddr::V4(*v4)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => Some(IpAddr::V6(*v6)),
        _ => None,
    })?;
    Some(Change::Neighbour(ip, message.header.ifindex, entry))
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A netlink socket that receives notifications of `groups`.
fn open_socket(groups: u32) -> io::Result<OwnedFd> {
    let socket = socket(SocketFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(socket)
}

fn parse(bytes: &[u8]) -> io::Result<NetlinkMessage<RouteNetlinkMessage>> {
    NetlinkMessage::deserialize(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use test_support::{
        capability::available,
        namespace::{self, interface_index, ip},
    };

    use super::*;

    /// A neighbour on an interface whose other end does not answer.
    fn neighbour() -> Option<Neighbour> {
        available("netns", namespace::enter())?;
        ip("link add up0 type veth peer name peer0");
        ip("link set up0 up");
        ip("link set peer0 up");
        ip("addr add 10.0.0.10/24 dev up0");
        let word = u32::from_ne_bytes([10, 0, 0, 1]);
        Some(Neighbour::from_v4_word(word, interface_index("up0")))
    }

    #[test]
    fn states_are_read_and_changed_as_the_kernel_means_them() {
        let Some(neighbour) = neighbour() else { return };
        let mut requests = Requests::open().unwrap();
        assert_eq!(requests.look_up(&neighbour).unwrap(), None);
        let address = Some([2, 0, 0, 0, 0, 1]);
        for (state, expected) in [
            ("permanent", State::Given),
            ("reachable", State::Confirmed),
            ("stale", State::Unconfirmed),
            ("reachable extern_learn", State::Given),
        ] {
            ip(&format!("neigh replace 10.0.0.1 lladdr 02:00:00:00:00:01 dev up0 nud {state}"));
            let entry = requests.look_up(&neighbour).unwrap();
            assert_eq!(entry, Some(Entry { state: expected, address }), "{state}");
            ip("neigh del 10.0.0.1 dev up0");
        }
        ip("neigh replace 10.0.0.1 lladdr 02:00:00:00:00:01 dev up0 nud reachable");
        requests.probe(&neighbour).unwrap();
        assert_eq!(requests.look_up(&neighbour).unwrap(), Some(Entry { state: State::Probed, address }));
        requests.resolve(&neighbour).unwrap();
        assert_eq!(requests.look_up(&neighbour).unwrap(), Some(Entry { state: State::Unknown, address: None }));
    }

    #[test]
    fn changes_are_heard() {
        let Some(neighbour) = neighbour() else { return };
        let changes = Changes::open().unwrap();
        let heard = |command: &str| {
            while changes.next().unwrap().is_some() {}
            ip(command);
            let heard: Vec<_> = std::iter::from_fn(|| changes.next().unwrap()).collect();
            assert!(!heard.is_empty(), "{command}");
            heard
        };
        assert!(heard("link set up0 mtu 1400").contains(&Change::Interface));
        for command in [
            "route add 192.0.2.0/24 via 10.0.0.1",
            "rule add to 192.0.2.0/24 table 7",
            "-6 rule add to 2001:db8::/32 table 7",
            "addr add fd00::1/64 dev up0 nodad",
            "-6 route add 2001:db8::/32 dev up0",
            "nexthop add id 7 dev up0",
        ] {
            let told = heard(command);
            let is_other = |change: &Change| matches!(change, Change::Other | Change::Unknown);
            assert!(told.iter().any(is_other), "{command}: {told:?}");
        }
        let index = neighbour.interface();
        let entry = Entry { state: State::Confirmed, address: Some([2, 0, 0, 0, 0, 1]) };
        let told = heard("neigh replace 10.0.0.1 lladdr 02:00:00:00:00:01 dev up0 nud reachable");
        assert_eq!(told, [Change::Neighbour(neighbour.ip(), index, Some(entry))]);
        let told = heard("neigh del 10.0.0.1 dev up0");
        assert!(told.contains(&Change::Neighbour(neighbour.ip(), index, None)), "{told:?}");
    }
}
