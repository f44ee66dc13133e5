//! Checks whether packets can be relayed in the kernel.

use relay_ebpf::Capabilities;

use super::{
    needs::Needs,
    report::{Report, Status},
    system::System,
};

/// The oldest kernel whose verifier accepts the program.
const OLDEST: (u64, u64) = (5, 15);

const RELEASE: &str = "proc/sys/kernel/osrelease";

pub(super) fn examine(system: &System, needs: &Needs, report: &mut Report) {
    if let Some(why) = needs.user_space_only {
        return report.good("kernel path", format!("not used: {why}"));
    }
    // Without the option, a missing requirement is not an error.
    let missing = if needs.kernel_path.is_some() { Status::Broken } else { Status::Note };
    match &needs.no_program {
        None => report.good("kernel program", "in this build"),
        Some(why) => report.add(
            "kernel program",
            missing,
            format!("not in this build: {why}"),
            "use a release build, or build with `cargo xtask setup` done and RELAY_EBPF=require",
        ),
    }
    kernel(system, missing, report);
    capabilities(system, missing, report);
    if needs.kernel_path.as_ref().is_none_or(|path| path.by_routing_table) {
        forwarding(system, report);
    }
}

fn kernel(system: &System, missing: Status, report: &mut Report) {
    let release = system.text(RELEASE).unwrap_or_default();
    match version(system) {
        Some(version) if version >= OLDEST => report.good("kernel", format!("Linux {release}")),
        Some(_) => report.add(
            "kernel",
            missing,
            format!("Linux {release}"),
            format!("relaying in the kernel takes Linux {}.{} or later; user space works with any", OLDEST.0, OLDEST.1),
        ),
        None => {
            report.add("kernel", Status::Note, format!("/{RELEASE} does not say"), "nothing, if /proc is hidden");
        }
    }
}

/// The kernel's major and minor version, if it is known.
pub(super) fn version(system: &System) -> Option<(u64, u64)> {
    let release = system.text(RELEASE)?;
    let mut numbers = release.split(|character: char| !character.is_ascii_digit()).map(str::parse::<u64>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn capabilities(system: &System, missing: Status, report: &mut Report) {
    const CHECK: &str = "capabilities";
    let effective = system.line("proc/self/status", "CapEff:");
    let Some(bits) = effective.and_then(|digits| u64::from_str_radix(&digits, 16).ok()) else {
        return report.add(CHECK, Status::Note, "/proc/self/status does not say", "nothing, if /proc is hidden");
    };
    let lacking = Capabilities::from_bits(bits).lacking(true);
    if lacking.is_empty() {
        report.good(CHECK, "enough for the kernel path");
    } else {
        report.add(
            CHECK,
            missing,
            format!("this process lacks {}", lacking.join(", ")),
            "for the kernel path: `AmbientCapabilities=CAP_BPF CAP_NET_ADMIN CAP_PERFMON` in systemd, or `--cap-add` each in a container; \
             run this with what the relay has",
        );
    }
}

/// Checks that forwarding is on: otherwise the kernel answers no route look-ups of the program. The relay switches it on by itself
/// if it may.
fn forwarding(system: &System, report: &mut Report) {
    for (check, path, setting) in [
        ("IPv4 route look-ups", "proc/sys/net/ipv4/conf/lo/forwarding", "net.ipv4.conf.lo.forwarding"),
        ("IPv6 route look-ups", "proc/sys/net/ipv6/conf/lo/forwarding", "net.ipv6.conf.lo.forwarding"),
    ] {
        match system.number(path) {
            Some(0) => report.add(
                check,
                Status::Note,
                format!("{setting} is 0; the relay sets it if it may"),
                format!(
                    "where /proc/sys is read-only: sysctl -w {setting}=1 (lo alone: the host does not become a router)"
                ),
            ),
            Some(_) => report.good(check, format!("{setting} is 1")),
            None => report.good(check, "this machine has no such addresses"),
        }
    }
}
