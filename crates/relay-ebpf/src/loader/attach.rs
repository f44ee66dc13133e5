//! Attaches the program to interfaces, and allows route look-ups.

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

    /// Whether an interface with this name still has this index.
    pub(super) fn is_there(&self) -> bool {
        Self::find(&self.name).is_ok_and(|found| found.index == self.index)
    }
}

/// Finds all interfaces with these names.
pub(super) fn find(names: &[String]) -> Result<Vec<Interface>, OffloadError> {
    if names.is_empty() {
        return Err(OffloadError::Config("no interface is named"));
    }
    names.iter().map(|name| Interface::find(name)).collect()
}

/// The largest MTU, in bytes, at which drivers put a frame into one buffer: a page, less the room before and after the frame.
pub const SINGLE_BUFFER_MTU: u32 = 3498;

/// Whether the driver of an interface may put a frame into several buffers. In generic mode, the kernel joins them.
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

/// Asks a socket, since it is in this thread's network namespace; `/sys` may show another one.
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
    // SAFETY: the successful call has written this field.
    unsafe { request.ifr_ifru.ifru_mtu }.try_into().ok()
}

/// The kernel answers route look-ups only on interfaces that forward. Forwarding on the loopback interface alone does not make this
/// host a router, since that interface receives nothing to forward.
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
