//! Chooses interfaces and mode of the XDP program, if the operator has not.

use std::{collections::BTreeSet, fs, net::IpAddr, path::Path};

use nix::ifaddrs::getifaddrs;
use relay_ebpf::AttachMode;

use super::{LocalAddresses, OffloadConfig, Xdp, config::Choice};
use crate::addresses::default_route_interfaces;

/// Starts the XDP program. If the operator has given interfaces and mode, these are used, or the relay does not start. Otherwise
/// the first mode that works is used, or none. One line of the log says what was chosen, and why.
///
/// # Errors
///
/// When the operator has asked for something that is not possible.
pub(crate) fn start(config: &OffloadConfig) -> anyhow::Result<Option<Xdp>> {
    let modes = match &config.choice {
        Choice::Given => return Xdp::start(config, "as asked for").map(Some),
        Choice::Auto { modes } => modes,
    };
    let interfaces = interfaces(&config.addresses);
    if interfaces.is_empty() {
        tracing::info!("relaying in user space: no interface leads to other machines");
        return Ok(None);
    }
    let mut config = config.clone();
    config.xdp.interfaces = interfaces;
    let mut reasons: Vec<String> = Vec::new();
    for mode in modes {
        config.xdp.mode = *mode;
        let why = if reasons.is_empty() { "found by itself".to_owned() } else { reasons.join("; ") };
        match Xdp::start(&config, &why) {
            Ok(xdp) => return Ok(Some(xdp)),
            Err(error) => {
                let reason = format!("{error:#}");
                // A reason that is the same for all modes is given once.
                if !reasons.iter().any(|told| told.ends_with(&reason)) {
                    reasons.push(format!("{} mode: {reason}", name(*mode)));
                }
            }
        }
    }
    tracing::info!(
        interfaces = config.xdp.interfaces.join(","),
        why = reasons.join("; "),
        "relaying in user space: the kernel path cannot be used; `firezone-relay doctor` says what to change"
    );
    Ok(None)
}

/// The name of a mode in options and metrics.
pub(super) const fn name(mode: AttachMode) -> &'static str {
    match mode {
        AttachMode::Driver => "driver",
        AttachMode::Generic => "generic",
    }
}

/// The interfaces that have the relay's addresses, and those of its families' default routes. For a VLAN, the interface below it:
/// there the program sees the VLAN's packets.
fn interfaces(addresses: &LocalAddresses) -> Vec<String> {
    let served = |address: Option<IpAddr>| address.filter(|address| !address.is_loopback());
    let (v4, v6) = (served(addresses.v4), served(addresses.v6));
    let table = |family: Option<IpAddr>, path| match family {
        Some(_) => fs::read_to_string(path).unwrap_or_default(),
        None => String::new(),
    };
    let mut names: BTreeSet<String> =
        default_route_interfaces(&table(v4, "/proc/net/route"), &table(v6, "/proc/net/ipv6_route"))
            .into_iter()
            .collect();
    for interface in getifaddrs().into_iter().flatten() {
        let address = interface.address.as_ref().and_then(|address| {
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        });
        if address.is_some_and(|address| [v4, v6].contains(&Some(address))) {
            names.insert(interface.interface_name);
        }
    }
    names.into_iter().map(below_vlan).collect::<BTreeSet<_>>().into_iter().collect()
}

fn below_vlan(name: String) -> String {
    let folder = Path::new("/sys/class/net").join(&name);
    let is_vlan =
        fs::read_to_string(folder.join("uevent")).is_ok_and(|text| text.lines().any(|line| line == "DEVTYPE=vlan"));
    if !is_vlan {
        return name;
    }
    let mut below = fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| {
        entry.file_name().to_str().and_then(|entry| entry.strip_prefix("lower_")).map(str::to_owned)
    });
    below.next().unwrap_or(name)
}
