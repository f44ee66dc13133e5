//! Checks the kernel settings that make a relay lose packets.

use relay_server::PortRange;

use super::{
    needs::Needs,
    report::{Report, Status},
    system::System,
};
use crate::listen::BUFFER_SIZE;

pub(super) fn examine(system: &System, needs: &Needs, report: &mut Report) {
    buffers(system, report);
    local_ports(system, needs.ports, report);
    reverse_paths(system, report);
    conntrack(system, needs, report);
}

/// Checks the largest buffer of a listening socket. It holds what arrives while the worker is busy.
fn buffers(system: &System, report: &mut Report) {
    for (check, name) in [("receive buffer", "rmem_max"), ("send buffer", "wmem_max")] {
        match system.number(&format!("proc/sys/net/core/{name}")) {
            Some(most) if most >= BUFFER_SIZE as u64 => report.good(check, format!("up to {most} bytes")),
            Some(most) => report.add(
                check,
                Status::Improve,
                format!("up to {most} bytes: a burst that is longer loses datagrams"),
                format!("sysctl -w net.core.{name}={BUFFER_SIZE}"),
            ),
            None => report.add(
                check,
                Status::Note,
                format!("net.core.{name} is not there"),
                "nothing in a container: the host's value counts",
            ),
        }
    }
}

/// Checks that the allocation ports are not among those that the kernel gives to any program.
fn local_ports(system: &System, ports: PortRange, report: &mut Report) {
    const CHECK: &str = "allocation ports";
    let range = system.text("proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut bounds = range.split_whitespace().filter_map(|number| number.parse::<u16>().ok());
    let (Some(low), Some(high)) = (bounds.next(), bounds.next()) else { return };
    let (lowest, highest) = (ports.lowest(), ports.highest());
    let reserved = system.text("proc/sys/net/ipv4/ip_local_reserved_ports").unwrap_or_default();
    let (from, to) = (lowest.max(low), highest.min(high));
    if from > to || is_covered(&reserved, from, to) {
        report.good(CHECK, format!("{lowest}-{highest} are the relay's own"));
    } else {
        report.add(
            CHECK,
            Status::Improve,
            format!("other programs of this machine are given ports from {low} to {high}: those of {lowest}-{highest} are then missing"),
            format!("sysctl -w net.ipv4.ip_local_reserved_ports={lowest}-{highest}"),
        );
    }
}

/// Whether ranges such as `8080,9000-9100` contain all ports from `from` to `to`.
fn is_covered(reserved: &str, from: u16, to: u16) -> bool {
    let mut next = u32::from(from);
    let mut ranges: Vec<(u32, u32)> = reserved
        .split(',')
        .filter_map(|range| {
            let (low, high) = range.split_once('-').unwrap_or((range, range));
            Some((low.trim().parse().ok()?, high.trim().parse().ok()?))
        })
        .collect();
    ranges.sort_unstable();
    for (low, high) in ranges {
        if low <= next {
            next = next.max(high + 1);
        }
    }
    next > u32::from(to)
}

/// Checks for strict reverse path filters, which drop packets that arrive at another interface than answers leave by.
fn reverse_paths(system: &System, report: &mut Report) {
    const CHECK: &str = "rp_filter";
    let value = |name: &str| system.number(&format!("proc/sys/net/ipv4/conf/{name}/rp_filter")).unwrap_or_default();
    let interfaces = system.names("sys/class/net");
    // The kernel uses the larger of the two values.
    let strict: Vec<_> = interfaces
        .iter()
        .filter(|name| name.as_str() != "lo" && value("all").max(value(name)) == 1)
        .map(String::as_str)
        .collect();
    let others = interfaces.iter().filter(|name| name.as_str() != "lo").count();
    if strict.is_empty() || others < 2 {
        report.good(CHECK, "drops nothing that a relay needs");
    } else {
        report.add(
            CHECK,
            Status::Note,
            format!("strict on {}: what arrives there and is answered elsewhere is dropped", strict.join(", ")),
            "if clients or peers reach this machine by several interfaces: sysctl -w net.ipv4.conf.all.rp_filter=2",
        );
    }
}

/// Checks whether conntrack tracks flows. Each takes an entry and time, and a full table drops packets.
fn conntrack(system: &System, needs: &Needs, report: &mut Report) {
    const CHECK: &str = "conntrack";
    let number = |name: &str| system.number(&format!("proc/sys/net/netfilter/nf_conntrack_{name}"));
    let (Some(count), Some(most)) = (number("count"), number("max")) else {
        return report.good(CHECK, "not loaded");
    };
    let found = format!("{count} of {most} entries in use");
    let advice = format!(
        "exclude the relay's ports: nft add rule inet raw prerouting udp dport '{{ {}, {}-{} }}' notrack, and the same with sport in \
         output; or raise net.netfilter.nf_conntrack_max",
        needs.listen_port,
        needs.ports.lowest(),
        needs.ports.highest()
    );
    if count.saturating_mul(2) > most {
        report.add(CHECK, Status::Improve, format!("{found}: when it is full, packets are dropped"), advice);
    } else if count > 0 {
        report.add(CHECK, Status::Note, format!("{found}, if rules of this machine follow UDP"), advice);
    } else {
        report.good(CHECK, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_ports() {
        for (reserved, expected) in [
            ("", false),
            ("49152-60999", true),
            ("49152-65535", true),
            ("8080,49152-50000,50001-60999", true),
            ("50001-60999,49152-50000", true),
            ("49152-50000,50002-60999", false),
            ("49153-65535", false),
            ("nonsense", false),
        ] {
            assert_eq!(is_covered(reserved, 49_152, 60_999), expected, "{reserved}");
        }
    }
}
