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

fn mtu(interface: &str) -> Option<u32> {
    let mut request = request_for(interface)?;
    ask(libc::SIOCGIFMTU, &mut request)?;
    // SAFETY: the successful call has written this field.
    unsafe { request.ifr_ifru.ifru_mtu }.try_into().ok()
}

/// `struct ethtool_drvinfo`, as far as it matters.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    _others: [u8; 160],
}

const _: () = assert!(size_of::<DriverInfo>() == 196, "the size of the kernel's structure");

/// `ETHTOOL_GDRVINFO`.
const GET_DRIVER: u32 = 3;

/// Whether an interface of this thread's network namespace is one end of a veth pair, like that of most containers. Packets that a
/// program in its driver sends may be lost without an error: the other end drops them unless it has a program or GRO is on there.
/// Generic mode loses nothing.
#[must_use]
pub fn is_veth(interface: &str) -> bool {
    driver(interface).is_some_and(|driver| driver == "veth")
}

/// The name of the interface's driver, if the driver tells.
fn driver(interface: &str) -> Option<String> {
    let mut info = DriverInfo { command: GET_DRIVER, driver: [0; 32], _others: [0; 160] };
    let mut request = request_for(interface)?;
    request.ifr_ifru.ifru_data = (&raw mut info).cast();
    ask(libc::SIOCETHTOOL, &mut request)?;
    let name = info.driver.split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// A request about an interface; `None` if the name is too long.
fn request_for(interface: &str) -> Option<libc::ifreq> {
    // SAFETY: zeros are a value of this structure of integers, arrays of them, and a pointer.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    if interface.len() > room {
        return None;
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    Some(request)
}

/// Asks a socket, since it is in this thread's network namespace; `/sys` may show another one.
fn ask(question: libc::c_ulong, request: &mut libc::ifreq) -> Option<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // SAFETY: `request` is a whole `struct ifreq` with a name that ends with a zero byte, and outlives the call, as does what it
    // points to: nothing, or the structure that the question wants.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), question, std::ptr::from_mut(request)) };
    (result == 0).then_some(())
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
