//! Checks the network interfaces: which of them relay packets, and what their drivers support.

use relay_ebpf::SINGLE_BUFFER_MTU;

use super::{
    kernel_path::version,
    needs::Needs,
    report::{Report, Status},
    system::System,
};
use crate::addresses::default_route_interfaces;

/// The oldest kernel that can run the program on frames in several buffers.
const OLDEST_OF_MULTI_BUFFER: (u64, u64) = (5, 18);

/// How far a driver supports the program.
#[derive(Clone, Copy)]
enum Support {
    Full,
    /// On a condition. `IF` in it stands for the interface.
    If(&'static str),
    None,
}

/// What is known about drivers, by name.
const DRIVERS: [(&str, Support); 12] = [
    (
        "virtio_net",
        Support::If(
            "wants twice as many queues as are in use (`ethtool -L IF combined N`), and guest offloads off at the host's side",
        ),
    ),
    ("ena", Support::If("wants half of the queues free (`ethtool -L IF combined N`)")),
    ("gve", Support::If("wants half of the queues free (`ethtool -L IF rx N tx N`)")),
    ("mlx5_core", Support::Full),
    ("ice", Support::Full),
    ("i40e", Support::Full),
    ("ixgbe", Support::Full),
    ("bnxt_en", Support::Full),
    ("igb", Support::Full),
    ("igc", Support::Full),
    ("e1000", Support::None),
    ("e1000e", Support::None),
];

pub(super) fn examine(system: &System, needs: &Needs, report: &mut Report) {
    let routed = default_routes(system);
    let asked = needs.kernel_path.as_ref();
    let names = match asked {
        Some(path) => path.interfaces.clone(),
        None => routed.clone(),
    };
    if names.is_empty() {
        return report.add(
            "interface",
            Status::Note,
            "no default route: clients on this machine's own networks only",
            "nothing, if that is meant",
        );
    }
    for name in &names {
        let kind = if asked.is_some() { Status::Broken } else { Status::Note };
        let in_driver = asked.map_or(needs.user_space_only.is_none(), |path| path.in_driver);
        interface(system, name, in_driver, kind, report);
    }
    for name in routed.iter().filter(|name| asked.is_some() && !names.contains(name)) {
        report.add(
            "interface",
            Status::Improve,
            format!("{name} has a default route, and EBPF_OFFLOADING does not name it"),
            format!("name it, too, if clients or peers are reached by it: EBPF_OFFLOADING={},{name}", names.join(",")),
        );
    }
}

fn interface(system: &System, name: &str, in_driver: bool, missing: Status, report: &mut Report) {
    let folder = format!("sys/class/net/{name}");
    let Some(mtu) = system.number(&format!("{folder}/mtu")) else {
        let there = system.names("sys/class/net").join(", ");
        return report.add("interface", missing, format!("{name} is not there"), format!("name one of {there}"));
    };
    let driver = system.link_name(&format!("{folder}/device/driver"));
    let queues = system.names(&format!("{folder}/queues")).iter().filter(|queue| queue.starts_with("rx-")).count();
    let state = system.text(&format!("{folder}/operstate")).unwrap_or_default();
    let support = DRIVERS.iter().find(|(name, _)| driver.as_deref() == Some(*name)).map(|(_, support)| *support);
    let found = format!(
        "{name}: driver {}, {queues} receive queues, MTU {mtu}, {state}",
        driver.as_deref().unwrap_or("none (virtual)")
    );
    if state == "down" {
        return report.add("interface", missing, found, format!("ip link set {name} up"));
    }
    if !in_driver {
        return report.good("interface", found);
    }
    if mtu > u64::from(SINGLE_BUFFER_MTU) {
        let can = version(system).is_none_or(|version| version >= OLDEST_OF_MULTI_BUFFER);
        return report.add(
            "interface",
            if can { Status::Note } else { missing },
            format!(
                "{found}: frames are in several buffers, which takes Linux 5.18 and not every driver gives the program"
            ),
            format!("if the driver refuses the program: ip link set {name} mtu 1500, or EBPF_ATTACH_MODE=generic"),
        );
    }
    match support {
        Some(Support::Full) => report.good("interface", found),
        Some(Support::If(condition)) => report.add(
            "interface",
            Status::Note,
            found,
            format!("for the kernel path, the driver {}", condition.replace("IF", name)),
        ),
        Some(Support::None) => report.add(
            "interface",
            missing,
            format!("{found}: this driver cannot run programs"),
            "for the kernel path: EBPF_ATTACH_MODE=generic, or EBPF_OFFLOADING=auto, which tries both",
        ),
        None => report.add(
            "interface",
            Status::Note,
            found,
            "whether this driver can run programs is not known here: EBPF_OFFLOADING=auto tries it, then generic mode",
        ),
    }
}

/// The interfaces of the default routes of both families.
fn default_routes(system: &System) -> Vec<String> {
    let v4 = system.text("proc/net/route").unwrap_or_default();
    let v6 = system.text("proc/net/ipv6_route").unwrap_or_default();
    default_route_interfaces(&v4, &v6)
}
