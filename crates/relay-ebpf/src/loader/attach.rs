//! Interfaces, and what the host has to allow.

use std::{ffi::CString, fs, io, path::Path};

use aya::programs::{Xdp, XdpMode, xdp::XdpLinkId};

use super::{AttachMode, OffloadError};

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
    fs::read_to_string(Path::new("/sys/class/net").join(interface).join("mtu")).ok()?.trim().parse().ok()
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
