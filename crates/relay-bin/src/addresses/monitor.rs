//! Hears from the kernel that addresses or routes change.

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

/// What to hear of. Routes too, since an address may be local by a route alone.
const GROUPS: i32 = libc::RTMGRP_LINK
    | libc::RTMGRP_IPV4_IFADDR
    | libc::RTMGRP_IPV6_IFADDR
    | libc::RTMGRP_IPV4_ROUTE
    | libc::RTMGRP_IPV6_ROUTE;

/// A netlink socket (`rtnetlink(7)`). What its messages say does not matter: each one makes the relay read the whole state anew,
/// so no message that is lost leaves a wrong one.
#[derive(Debug)]
pub(super) struct AddressMonitor(OwnedFd);

impl AddressMonitor {
    /// Listens from now on; [`Self::wait`] waits no longer than `limit`, in whole seconds.
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

    /// Waits until something has changed since the last call of [`Self::clear`], or for the limit. Whether something has.
    ///
    /// # Errors
    ///
    /// When the socket is of no use any more.
    pub(super) fn wait(&self) -> io::Result<bool> {
        self.hear(MsgFlags::empty())
    }

    /// Forgets what has changed until now.
    ///
    /// # Errors
    ///
    /// When the socket is of no use any more.
    pub(super) fn clear(&self) -> io::Result<()> {
        while self.hear(MsgFlags::MSG_DONTWAIT)? {}
        Ok(())
    }

    fn hear(&self, flags: MsgFlags) -> io::Result<bool> {
        // The kernel throws away what does not fit.
        match recv(self.0.as_raw_fd(), &mut [0; 16], flags).map_err(io::Error::from) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(false),
            // Messages were lost, so there were some.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(true),
            Err(error) => Err(error),
        }
    }
}
