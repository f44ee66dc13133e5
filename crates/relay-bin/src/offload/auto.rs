//! Chooses interfaces and mode of the XDP program, if the operator has not.

use std::{collections::BTreeSet, fs, net::IpAddr, path::Path};

use anyhow::Context as _;
use nix::{ifaddrs::getifaddrs, libc::ARPHRD_ETHER};
use relay_ebpf::{AttachHint, AttachMode, Capabilities, OffloadError, is_veth};

use super::{LocalAddresses, OffloadConfig, Xdp, config::Choice};
use crate::{addresses::default_route_interfaces, option_names::EBPF_OFFLOADING};

/// Starts the XDP program. If the operator has given the interfaces, these are used, or the relay does not start. Otherwise the
/// first mode that works is used, or none. One line of the log says what was chosen, and why. `is_limited` says whether there are
/// limits on bandwidth or packet rates.
///
/// # Errors
///
/// When the operator has asked for something that is not possible. Going on without the program would hide the failure.
pub(crate) fn start(config: &OffloadConfig, is_limited: bool) -> anyhow::Result<Option<Xdp>> {
    match config.choice {
        Choice::Given => {
            let cannot = || format!("cannot offload to XDP, as {EBPF_OFFLOADING} asks for");
            let xdp = Xdp::start(config, "as asked for").with_context(cannot)?;
            if is_limited {
                tracing::warn!(
                    "bandwidth is limited, so that all is relayed in user space: the kernel does not count by allocation; leave out the \
                     limits on bandwidth and packet rates to have it relay"
                );
            }
            Ok(Some(xdp))
        }
        Choice::Auto { mode } => Ok(find(config, mode, is_limited)),
    }
}

/// How many peers [`start`] will have room for when it is called later: 0 if it is known already that it will load nothing.
pub(crate) fn peers_later(config: &OffloadConfig, is_limited: bool) -> u32 {
    let loads_nothing = match config.choice {
        Choice::Given => false,
        Choice::Auto { .. } => refusal(is_limited, &interfaces(&config.addresses)).is_some(),
    };
    if loads_nothing { 0 } else { config.peers() }
}

/// Starts the XDP program in the first mode that works, or only in `mode`, if that is given.
fn find(config: &OffloadConfig, mode: Option<AttachMode>, is_limited: bool) -> Option<Xdp> {
    let interfaces = interfaces(&config.addresses);
    if let Some(obstacle) = refusal(is_limited, &interfaces) {
        tracing::info!("relaying in user space: {obstacle}");
        return None;
    }
    let mut config = config.clone();
    config.xdp.interfaces = interfaces;
    let mut reasons: Vec<String> = Vec::new();
    let modes = match (mode, config.xdp.interfaces.iter().find(|interface| is_veth(interface))) {
        (Some(mode), _) => vec![mode],
        (None, Some(interface)) => {
            reasons.push(format!("driver mode: {interface} is a veth, whose other end may drop what is sent so"));
            vec![AttachMode::Generic]
        }
        (None, None) => vec![AttachMode::Driver, AttachMode::Generic],
    };
    for mode in modes {
        config.xdp.mode = mode;
        let why = if reasons.is_empty() { "found by itself".to_owned() } else { reasons.join("; ") };
        match Xdp::start(&config, &why) {
            Ok(xdp) => return Some(xdp),
            Err(error) => {
                reasons.push(format!("{} mode: {error:#}", name(mode)));
                if !is_of_mode(&error) {
                    break;
                }
            }
        }
    }
    tracing::info!(
        interfaces = config.xdp.interfaces.join(","),
        why = reasons.join("; "),
        "relaying in user space: the kernel path cannot be used; `firezone-relay doctor` says what to change"
    );
    None
}

/// [`obstacle`] of this process.
fn refusal(is_limited: bool, interfaces: &[String]) -> Option<String> {
    // If the kernel does not report them, loading the program shows what is missing.
    let lacking = Capabilities::effective().map(|capabilities| capabilities.lacking(false)).unwrap_or_default();
    obstacle(is_limited, interfaces, super::xdp(), &lacking)
}

/// Why loading the program would be useless, if it would. This check is cheap: a relay without privileges starts as fast as one with
/// the kernel path switched off.
fn obstacle(is_limited: bool, interfaces: &[String], program: Result<(), &str>, lacking: &[&str]) -> Option<String> {
    const MORE: &str = "`firezone-relay doctor` says more";
    if is_limited {
        return Some("bandwidth is limited, and the kernel does not count by allocation".to_owned());
    }
    if interfaces.is_empty() {
        return Some("no interface leads to other machines by Ethernet".to_owned());
    }
    if let Err(why) = program {
        return Some(format!("this build has no XDP program ({why}); {MORE}"));
    }
    (!lacking.is_empty())
        .then(|| format!("this process may not load XDP programs (it lacks {}); {MORE}", lacking.join(", ")))
}

/// Whether the other mode may work where one failed with this error.
fn is_of_mode(error: &anyhow::Error) -> bool {
    let hint = match error.downcast_ref() {
        Some(OffloadError::Attach { hint, .. }) => hint,
        _ => return false,
    };
    !matches!(hint, AttachHint::Occupied | AttachHint::Gone | AttachHint::NotPermitted)
}

/// The name of a mode in options and metrics.
pub(super) const fn name(mode: AttachMode) -> &'static str {
    match mode {
        AttachMode::Driver => "driver",
        AttachMode::Generic => "generic",
    }
}

/// The interfaces that have the relay's addresses, and those of its families' default routes. For a VLAN, the interface below it:
/// there the program sees the VLAN's packets. Tunnels are left out, because their packets are not Ethernet frames.
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
    let mut ethernet: BTreeSet<String> = BTreeSet::new();
    for interface in getifaddrs().into_iter().flatten() {
        let link = interface.address.as_ref().and_then(|address| address.as_link_addr());
        if link.is_some_and(|link| link.hatype() == ARPHRD_ETHER) {
            ethernet.insert(interface.interface_name);
            continue;
        }
        let address = interface.address.as_ref().and_then(|address| {
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        });
        if address.is_some_and(|address| [v4, v6].contains(&Some(address))) {
            names.insert(interface.interface_name);
        }
    }
    names.intersection(&ethernet).cloned().map(below_vlan).collect::<BTreeSet<_>>().into_iter().collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offload::addresses::tests::behind_nat;

    #[test]
    fn obstacles_are_told_one_at_a_time() {
        let eth0 = ["eth0".to_owned()];
        let (built, lacking) = (Ok(()), ["CAP_BPF", "CAP_NET_ADMIN"]);
        let missing = Err("RELAY_EBPF=off was set when it was built");
        assert_eq!(obstacle(false, &eth0, built, &[]), None);
        for (found, said) in [
            (obstacle(true, &[], missing, &lacking), "bandwidth is limited"),
            (obstacle(false, &[], missing, &lacking), "no interface leads to other machines"),
            (obstacle(false, &eth0, missing, &lacking), "no XDP program (RELAY_EBPF=off"),
            (
                obstacle(false, &eth0, built, &lacking),
                "may not load XDP programs (it lacks CAP_BPF, CAP_NET_ADMIN); `firezone-relay doctor`",
            ),
        ] {
            assert!(found.as_ref().is_some_and(|found| found.contains(said)), "{said}: {found:?}");
        }
    }

    #[test]
    fn peers_are_remembered_for_a_program_that_is_loaded_later_unless_it_never_will_be() {
        let given = OffloadConfig {
            xdp: relay_ebpf::Config { max_flows: 11, ..relay_ebpf::Config::default() },
            addresses: behind_nat(),
            choice: Choice::Given,
            channels_per_allocation: 1,
        };
        assert_eq!(peers_later(&given, false), 5);
        let auto = OffloadConfig { choice: Choice::Auto { mode: None }, ..given };
        assert_eq!(peers_later(&auto, true), 0, "bandwidth is limited");
    }

    #[test]
    fn another_mode_is_tried_where_it_may_help() {
        let of_mode = |error: OffloadError| is_of_mode(&anyhow::Error::from(error));
        assert!(!of_mode(OffloadError::NoInterface("eth9".to_owned())));
        assert!(!of_mode(OffloadError::NoProgram("")));
        assert!(!is_of_mode(&anyhow::anyhow!("no thread")));
    }
}
