//! Which interfaces frames may leave by, beside the one they came in by.

use std::fs;

use aya::maps::{HashMap, MapData};

use super::{OffloadError, attach::Interface};
use crate::{Be16, Device};

/// The kernel's list of VLAN interfaces; not there if it has none.
const VLANS: &str = "/proc/net/vlan/config";

/// Enters the interfaces that the program is attached to, and their VLANs.
pub(super) fn fill(map: &mut HashMap<MapData, u32, Device>, interfaces: &[Interface]) -> Result<(), OffloadError> {
    for interface in interfaces {
        let device = Device { interface: interface.index, ..Device::default() };
        map.insert(interface.index, device, 0).map_err(OffloadError::from_map)?;
    }
    for vlan in parse(&fs::read_to_string(VLANS).unwrap_or_default()) {
        let below = interfaces.iter().find(|interface| interface.name == vlan.parent);
        // One that vanished since it was listed needs no entry.
        let index = Interface::find(vlan.name).ok();
        if let (Some(below), Some(own)) = (below, index) {
            let device = Device { interface: below.index, vlan: Be16::new(vlan.identifier), tagged: 1 };
            map.insert(own.index, device, 0).map_err(OffloadError::from_map)?;
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct Vlan<'a> {
    name: &'a str,
    identifier: u16,
    parent: &'a str,
}

/// Reads lines of the form `eth0.100 | 100 | eth0`; the two lines above them have another form.
fn parse(list: &str) -> impl Iterator<Item = Vlan<'_>> {
    list.lines().filter_map(|line| {
        let mut columns = line.split('|').map(str::trim);
        let (name, identifier, parent) = (columns.next()?, columns.next()?.parse().ok()?, columns.next()?);
        Some(Vlan { name, identifier, parent })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_list_is_understood() {
        let list = "VLAN Dev name    | VLAN ID\nName-Type: VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD\n\
                    eth0.100       | 100  | eth0\nuplink         | 4094  | eth1\n";
        let expected = [
            Vlan { name: "eth0.100", identifier: 100, parent: "eth0" },
            Vlan { name: "uplink", identifier: 4094, parent: "eth1" },
        ];
        assert!(parse(list).eq(expected));
        assert!(parse("").next().is_none());
    }
}
