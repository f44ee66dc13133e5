//! Waits for the kernel's notifications that addresses or routes changed.

use std::{
    io::{self, ErrorKind},
    os::fd::{AsRawFd as _, OwnedFd},
    time::Duration,
};

use nix::sys::{
    socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket,
        sockopt::ReceiveTimeout,
    },
    time::TimeVal,
};

/// The notifications to receive. Routes are included because an address may be local through a route alone.
const GROUPS: i32 = libc::RTMGRP_LINK
    | libc::RTMGRP_IPV4_IFADDR
    | libc::RTMGRP_IPV6_IFADDR
    | libc::RTMGRP_IPV4_ROUTE
    | libc::RTMGRP_IPV6_ROUTE;

/// A netlink socket (`rtnetlink(7)`). The content of its messages does not matter: each makes the relay read all addresses again,
/// so a lost message does no harm.
#[derive(Debug)]
pub(super) struct AddressMonitor(OwnedFd);

impl AddressMonitor {
    /// Subscribes to notifications. [`Self::wait`] blocks for at most `limit`, in whole seconds.
    ///
    /// # Errors
    ///
    /// When the system has no netlink, or a sandbox forbids it.
    pub(super) fn open(limit: Duration) -> io::Result<Self> {
        let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS.cast_unsigned()))?;
        let seconds = limit.as_secs().try_into().map_err(io::Error::other)?;
        setsockopt(&socket, ReceiveTimeout, &TimeVal::new(seconds, 0))?;
        Ok(Self(socket))
    }

    /// Blocks until something has changed since the last call of [`Self::clear`], or until the limit. Returns whether something
    /// has.
    ///
    /// # Errors
    ///
    /// When the socket cannot be used any more.
    pub(super) fn wait(&self) -> io::Result<bool> {
        self.hear(MsgFlags::empty())
    }

    /// Discards all notifications so far.
    ///
    /// # Errors
    ///
    /// When the socket cannot be used any more.
    pub(super) fn clear(&self) -> io::Result<()> {
        while self.hear(MsgFlags::MSG_DONTWAIT)? {}
        Ok(())
    }

    fn hear(&self, flags: MsgFlags) -> io::Result<bool> {
        // The kernel truncates the message.
        match recv(self.0.as_raw_fd(), &mut [0; 16], flags).map_err(io::Error::from) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(false),
            // The kernel dropped messages, so something has changed.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(true),
            Err(error) => Err(error),
        }
    }
}
