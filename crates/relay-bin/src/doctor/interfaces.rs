//! Network interfaces: which of them the relay's packets use, and what their drivers can do.

use super::{
    needs::Needs,
    report::{Report, Status},
    system::System,
};
use crate::addresses::default_route_interfaces;

/// The largest MTU that every driver can run the program with: a frame must fit a page, beside what the driver puts there.
const LARGEST_MTU: u64 = 3_498;

/// What drivers can do, and what they want.
struct Driver {
    name: &'static str,
    runs_xdp: bool,
    advice: &'static str,
}

const DRIVERS: [Driver; 12] = [
    Driver {
        name: "virtio_net",
        runs_xdp: true,
        advice: "wants twice as many queues as are in use (`ethtool -L IF combined N`), and guest offloads off at the host's side",
    },
    Driver { name: "ena", runs_xdp: true, advice: "wants half of the queues free (`ethtool -L IF combined N`)" },
    Driver { name: "gve", runs_xdp: true, advice: "wants half of the queues free (`ethtool -L IF rx N tx N`)" },
    Driver { name: "mlx5_core", runs_xdp: true, advice: "" },
    Driver { name: "ice", runs_xdp: true, advice: "" },
    Driver { name: "i40e", runs_xdp: true, advice: "" },
    Driver { name: "ixgbe", runs_xdp: true, advice: "" },
    Driver { name: "bnxt_en", runs_xdp: true, advice: "" },
    Driver { name: "igb", runs_xdp: true, advice: "" },
    Driver { name: "igc", runs_xdp: true, advice: "" },
    Driver { name: "e1000", runs_xdp: false, advice: "" },
    Driver { name: "e1000e", runs_xdp: false, advice: "" },
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
        interface(system, name, asked.is_none_or(|path| path.in_driver), kind, report);
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
    let known = driver.as_deref().and_then(|driver| DRIVERS.iter().find(|known| known.name == driver));
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
    if mtu > LARGEST_MTU {
        return report.add(
            "interface",
            missing,
            format!("{found}: frames are too large for the program in the driver"),
            format!("for the kernel path: ip link set {name} mtu 1500, or EBPF_ATTACH_MODE=generic"),
        );
    }
    match known {
        Some(Driver { runs_xdp: false, .. }) => report.add(
            "interface",
            missing,
            format!("{found}: this driver cannot run programs"),
            "for the kernel path: EBPF_ATTACH_MODE=generic",
        ),
        Some(Driver { advice, .. }) if !advice.is_empty() => {
            report.add(
                "interface",
                Status::Note,
                found,
                format!("for the kernel path, the driver {}", advice.replace("IF", name)),
            );
        }
        Some(_) => report.good("interface", found),
        None => report.add(
            "interface",
            Status::Note,
            found,
            "whether this driver can run programs is not known here: try EBPF_OFFLOADING, or EBPF_ATTACH_MODE=generic",
        ),
    }
}

/// The interfaces that default routes of either family leave by.
fn default_routes(system: &System) -> Vec<String> {
    let v4 = system.text("proc/net/route").unwrap_or_default();
    let v6 = system.text("proc/net/ipv6_route").unwrap_or_default();
    default_route_interfaces(&v4, &v6)
}
