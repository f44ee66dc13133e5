//! Keeps the map of the interfaces that frames may leave by.

use std::{collections::BTreeMap, fs};

use aya::maps::{HashMap, MapData, MapError};

use super::attach::Interface;
use crate::{Be16, Device};

/// The kernel's list of VLAN interfaces. Missing if there are none.
const VLANS: &str = "/proc/net/vlan/config";

/// Enters the attached interfaces that still exist, and their VLANs. Removes all others.
pub(super) fn update(map: &mut HashMap<MapData, u32, Device>, attached: &[Interface]) -> Result<(), MapError> {
    let there: Vec<_> = attached.iter().filter(|interface| interface.is_there()).collect();
    let untagged =
        there.iter().map(|interface| (interface.index, Device { interface: interface.index, ..Device::default() }));
    let list = fs::read_to_string(VLANS).unwrap_or_default();
    let tagged = parse(&list).filter_map(|vlan| {
        let below = there.iter().find(|interface| interface.name == vlan.parent)?;
        // A VLAN that has vanished since it was listed needs no entry.
        let own = Interface::find(vlan.name).ok()?;
        Some((own.index, Device { interface: below.index, vlan: Be16::new(vlan.identifier), tagged: 1 }))
    });
    let wanted: BTreeMap<_, _> = untagged.chain(tagged).collect();
    let present = map.iter().collect::<Result<BTreeMap<_, _>, _>>()?;
    for index in present.keys().filter(|index| !wanted.contains_key(index)) {
        map.remove(index)?;
    }
    for (index, device) in wanted.iter().filter(|(index, device)| present.get(index) != Some(device)) {
        map.insert(index, device, 0)?;
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct Vlan<'a> {
    name: &'a str,
    identifier: u16,
    parent: &'a str,
}

/// Reads lines of the form `eth0.100 | 100 | eth0`. The two header lines have another form.
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
