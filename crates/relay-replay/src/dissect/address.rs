//! Dissects address attributes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Field;

/// Parses the value of an address attribute. `xor` is the message from its magic cookie on, if the address is XORed with it.
pub(crate) fn read(value: &[u8], xor: Option<&[u8]>) -> Result<SocketAddr, String> {
    let (&[_, family, p0, p1], address) = value.split_first_chunk().ok_or("it is too short")?;
    let mask = |bytes: &mut [u8]| {
        for (byte, mask) in bytes.iter_mut().zip(xor.unwrap_or_default()) {
            *byte ^= mask;
        }
    };
    let mut port = [p0, p1];
    mask(&mut port);
    let ip: IpAddr = match (family, address.len()) {
        (1, 4) => {
            let mut octets = [0; 4];
            octets.copy_from_slice(address);
            mask(&mut octets);
            Ipv4Addr::from(octets).into()
        }
        (2, 16) => {
            let mut octets = [0; 16];
            octets.copy_from_slice(address);
            mask(&mut octets);
            Ipv6Addr::from(octets).into()
        }
        (1 | 2, len) => return Err(format!("its address is {len} bytes long")),
        (other, _) => return Err(format!("address family {other:#04x} is unknown")),
    };
    Ok(SocketAddr::new(ip, u16::from_be_bytes(port)))
}

/// The fields of an address attribute's value, which begins at byte `at`.
pub(super) fn parts(value: &[u8], at: usize, address: SocketAddr, is_xored: bool) -> Vec<Field> {
    let how = if is_xored { " (XORed with the magic cookie, so that NATs leave it alone)" } else { "" };
    vec![
        Field::new("Family", if address.is_ipv4() { "IPv4" } else { "IPv6" }, at + 1..at + 2),
        Field::new("Port", format!("{}{how}", address.port()), at + 2..at + 4),
        Field::new("Address", address.ip().to_string(), at + 4..at + value.len()),
    ]
}
