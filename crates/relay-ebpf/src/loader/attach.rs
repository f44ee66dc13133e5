//! Interfaces, and what the host has to allow.

use std::{
    ffi::CString,
    fs, io,
    net::{Ipv4Addr, UdpSocket},
    os::fd::AsRawFd as _,
};

use aya::programs::{Xdp, XdpMode, xdp::XdpLinkId};

use super::{AttachMode, Config, OffloadError};

/// An interface of this host.
#[derive(Clone, Debug)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) index: u32,
}

impl Interface {
    pub(super) fn find(name: &str) -> Result<Self, OffloadError> {
        let missing = || OffloadError::NoInterface(name.to_owned());
        let c_name = CString::new(name).map_err(|_| missing())?;
        // SAFETY: `c_name` is a string that ends with a zero byte and outlives the call.
        let index = unsafe { libc::if_nametoindex(c_name.as_ptr()) };
        if index == 0 { Err(missing()) } else { Ok(Self { name: name.to_owned(), index }) }
    }

    /// Whether there still is an interface of this name under this index.
    pub(super) fn is_there(&self) -> bool {
        Self::find(&self.name).is_ok_and(|found| found.index == self.index)
    }
}

/// All interfaces of these names.
pub(super) fn find(names: &[String]) -> Result<Vec<Interface>, OffloadError> {
    if names.is_empty() {
        return Err(OffloadError::Config("no interface is named"));
    }
    names.iter().map(|name| Interface::find(name)).collect()
}

/// The largest MTU, in bytes, at which drivers have frames of one buffer: a page, less what goes before and after a frame in it.
pub const SINGLE_BUFFER_MTU: u32 = 3498;

/// Whether the driver of an interface has frames in several buffers. In generic mode, the kernel makes them one.
pub(super) fn need_multi_buffer(config: &Config) -> bool {
    let is_large = |name: &String| mtu(name).is_some_and(|mtu| mtu > SINGLE_BUFFER_MTU);
    config.mode == AttachMode::Driver && config.interfaces.iter().any(is_large)
}

/// Attaches the program to one interface.
pub(super) fn attach(xdp: &mut Xdp, interface: &Interface, mode: AttachMode) -> Result<XdpLinkId, OffloadError> {
    let flags = match mode {
        AttachMode::Driver => XdpMode::Driver,
        AttachMode::Generic => XdpMode::Skb,
    };
    xdp.attach_to_if_index(interface.index, flags)
        .map_err(|error| OffloadError::from_attach(error, &interface.name, mode, mtu(&interface.name)))
}

/// Asked by a socket, which is in the network namespace of this thread; what is mounted at `/sys` may be another's.
fn mtu(interface: &str) -> Option<u32> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // SAFETY: zeros are a value of this structure of integers and arrays of them.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    if interface.len() > room {
        return None;
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    // SAFETY: `request` is a whole `struct ifreq` with a name that ends with a zero byte, and outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU, &raw mut request) };
    if result != 0 {
        return None;
    }
    // SAFETY: after this call, this is what the kernel has written.
    unsafe { request.ifr_ifru.ifru_mtu }.try_into().ok()
}

/// The kernel answers route look-ups only from interfaces that forward. The loopback interface receives nothing that could
/// be forwarded, so switching it on there, and nowhere else, does not make this host a router.
pub(super) fn allow_route_lookups() -> Result<(), OffloadError> {
    for path in ["/proc/sys/net/ipv4/conf/lo/forwarding", "/proc/sys/net/ipv6/conf/lo/forwarding"] {
        match fs::read_to_string(path) {
            Ok(value) if value.trim() == "1" => {}
            // No IPv6 on this host.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(_) | Err(_) => {
                fs::write(path, "1").map_err(|source| OffloadError::Forwarding { path, source })?;
            }
        }
    }
    Ok(())
}
