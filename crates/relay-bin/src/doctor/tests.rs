//! Runs the checks on fake machines, made of files.

use std::{fs, num::NonZeroUsize, os::unix::fs::symlink, path::Path};

use relay_server::PortRange;

use super::*;

/// A machine made of files, on which all checks pass.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        for (path, text) in [
            ("proc/sys/kernel/osrelease", "6.1.0-18-cloud-amd64\n"),
            ("proc/self/status", "Name:\tfirezone-relay\nCapEff:\t000000c000001000\n"),
            (
                "proc/self/limits",
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max open files            1024                 524288               files     \n",
            ),
            ("proc/sys/net/core/rmem_max", "8388608\n"),
            ("proc/sys/net/core/wmem_max", "16777216\n"),
            ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
            ("proc/sys/net/ipv4/ip_local_reserved_ports", "49152-65535\n"),
            ("proc/sys/net/ipv4/conf/all/rp_filter", "0\n"),
            ("proc/sys/net/ipv4/conf/lo/forwarding", "1\n"),
            ("proc/sys/net/ipv6/conf/lo/forwarding", "1\n"),
            (
                "proc/net/route",
                "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                 eth0\t00000000\t010010AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                 eth1\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n",
            ),
            (
                "proc/net/ipv6_route",
                "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n\
                 00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n",
            ),
        ] {
            machine.set(path, text);
        }
        machine.interface("eth0", Some("ice"), "1500");
        machine
    }

    fn set(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn interface(&self, name: &str, driver: Option<&str>, mtu: &str) {
        let folder = format!("sys/class/net/{name}");
        self.set(&format!("{folder}/mtu"), mtu);
        self.set(&format!("{folder}/operstate"), "up\n");
        self.set(&format!("{folder}/queues/rx-0/rps_cpus"), "0");
        if let Some(driver) = driver {
            let link = self.0.path().join(&folder).join("device");
            fs::create_dir_all(&link).unwrap();
            symlink(Path::new("/sys/bus/pci/drivers").join(driver), link.join("driver")).unwrap();
        }
    }

    fn examine(&self, kernel_path: Option<KernelPath>) -> Report {
        let needs = Needs { kernel_path, ..needs() };
        examine(&System::at(self.0.path()), &needs)
    }
}

fn needs() -> Needs {
    Needs {
        listen_port: 443,
        ports: PortRange::DYNAMIC,
        families: 2,
        workers: NonZeroUsize::MIN,
        kernel_path: None,
        user_space_only: None,
        no_program: None,
    }
}

fn asked(interface: &str) -> Option<KernelPath> {
    Some(KernelPath { interfaces: vec![interface.to_owned()], in_driver: true, by_routing_table: true })
}

#[test]
fn a_machine_that_is_as_it_should_be_needs_nothing() {
    for kernel_path in [None, asked("eth0")] {
        let report = Machine::new().examine(kernel_path);
        let text = report.to_text();
        assert_eq!(report.exit_code(), 0, "{text}");
        assert!(text.contains("eth0: driver ice, 1 receive queues, MTU 1500, up"), "{text}");
        assert!(text.lines().all(|line| !line.contains("->")), "{text}");
    }
}

#[test]
fn large_frames_take_a_kernel_that_has_them_in_several_buffers() {
    for (release, code) in [("5.17.0", 3), ("5.18.0", 0), ("6.1.0", 0)] {
        let machine = Machine::new();
        machine.set("proc/sys/kernel/osrelease", release);
        machine.set("sys/class/net/eth0/mtu", "9001");
        let report = machine.examine(asked("eth0"));
        assert_eq!(report.exit_code(), code, "{release}: {}", report.to_text());
    }
}

/// Each row: the file that is changed, its text, the advice, and the exit status without and with the kernel path.
#[test]
fn what_is_wrong_is_named_with_what_to_do() {
    let limits = "Max open files            1024                 4096                 files\n";
    let capabilities = "CapEff:\t0000000000000400\n";
    for (path, text, expected, codes) in [
        ("proc/self/limits", limits, "LimitNOFILE=33280", [1, 1]),
        ("proc/sys/net/core/rmem_max", "212992", "sysctl -w net.core.rmem_max=8388608", [1, 1]),
        ("proc/sys/net/ipv4/ip_local_reserved_ports", "", "ip_local_reserved_ports=49152-65535", [1, 1]),
        ("proc/sys/kernel/osrelease", "5.10.0", "takes Linux 5.15 or later", [0, 3]),
        ("proc/self/status", capabilities, "lacks CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON", [0, 3]),
        ("proc/sys/net/ipv4/conf/lo/forwarding", "0", "sysctl -w net.ipv4.conf.lo.forwarding=1", [0, 0]),
        ("sys/class/net/eth0/mtu", "9001", "ip link set eth0 mtu 1500", [0, 0]),
        ("sys/class/net/eth0/operstate", "down", "ip link set eth0 up", [0, 3]),
    ] {
        let machine = Machine::new();
        machine.set(path, text);
        for (kernel_path, code) in [None, asked("eth0")].into_iter().zip(codes) {
            let report = machine.examine(kernel_path);
            let text = report.to_text();
            assert!(text.contains(expected), "{path}: {text}");
            assert_eq!(report.exit_code(), code, "{path}: {text}");
        }
    }
}

#[test]
fn a_kernel_path_that_is_off_is_not_looked_at() {
    let machine = Machine::new();
    machine.set("proc/self/status", "CapEff:\t0000000000000000\n");
    machine.set("sys/class/net/eth0/mtu", "9001");
    let needs = Needs { user_space_only: Some("it is off"), ..needs() };
    let text = examine(&System::at(machine.0.path()), &needs).to_text();
    assert!(text.contains("kernel path: not used: it is off"), "{text}");
    assert!(text.contains("eth0: driver ice") && text.lines().all(|line| !line.contains("->")), "{text}");
}

#[test]
fn conntrack_is_told_by_how_full_its_table_is() {
    for (count, found, code) in [("0", "0 of 1000", 0), ("10", "10 of 1000", 0), ("600", "packets are dropped", 1)] {
        let machine = Machine::new();
        machine.set("proc/sys/net/netfilter/nf_conntrack_count", count);
        machine.set("proc/sys/net/netfilter/nf_conntrack_max", "1000");
        let report = machine.examine(None);
        let text = report.to_text();
        assert!(text.contains(found), "{text}");
        assert_eq!(text.contains("udp dport '{ 443, 49152-65535 }' notrack"), count != "0", "{text}");
        assert_eq!(report.exit_code(), code);
    }
}

#[test]
fn an_interface_that_is_not_there_is_told_with_those_that_are() {
    let report = Machine::new().examine(asked("eth7"));
    let text = report.to_text();
    assert!(text.contains("eth7 is not there") && text.contains("name one of eth0"), "{text}");
    assert!(text.contains("EBPF_OFFLOADING=eth7,eth0"), "{text}");
    assert_eq!(report.exit_code(), 3);
}

#[test]
fn a_driver_that_cannot_is_told() {
    let machine = Machine::new();
    machine.interface("eth1", Some("e1000e"), "1500");
    machine.interface("veth0", None, "1500");
    machine.interface("eth2", Some("ena"), "1500");
    for (interface, expected, code) in [
        ("eth1", "this driver cannot run programs", 3),
        ("veth0", "none (virtual)", 1),
        ("eth2", "ethtool -L eth2 combined N", 1),
    ] {
        let report = machine.examine(asked(interface));
        assert!(report.to_text().contains(expected), "{}", report.to_text());
        // The default route's interface is not asked for.
        assert_eq!(report.exit_code(), code, "{}", report.to_text());
    }
}

#[test]
fn a_strict_reverse_path_filter_matters_with_several_interfaces() {
    let machine = Machine::new();
    machine.set("proc/sys/net/ipv4/conf/all/rp_filter", "1");
    assert!(!machine.examine(None).to_text().contains("strict on"));
    machine.interface("eth1", None, "1500");
    assert!(machine.examine(None).to_text().contains("strict on eth0, eth1"));
}

/// A container may hide many files. That is no error.
#[test]
fn a_machine_that_tells_nothing_is_not_broken() {
    let hidden = tempfile::tempdir().unwrap();
    let needs = Needs { families: 1, no_program: Some("no reason".to_owned()), ..needs() };
    let report = examine(&System::at(hidden.path()), &needs);
    assert_eq!(report.exit_code(), 0, "{}", report.to_text());
}

#[test]
fn json_says_the_same() {
    let machine = Machine::new();
    machine.set("proc/sys/net/core/rmem_max", "212992");
    let report = machine.examine(None);
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(json["status"], "improve");
    let findings = json["findings"].as_array().unwrap();
    let buffer = findings.iter().find(|finding| finding["check"] == "receive buffer").unwrap();
    assert_eq!(buffer["status"], "improve");
    assert!(buffer["advice"].as_str().unwrap().contains("rmem_max=8388608"));
    assert!(
        findings.iter().filter(|finding| finding["status"] == "good").all(|finding| finding.get("advice").is_none())
    );
}
