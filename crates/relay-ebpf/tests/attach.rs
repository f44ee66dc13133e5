//! Attaching, detaching, and errors with cause and remedy.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::{collections::HashMap, net::SocketAddr, process::Command};

use relay_ebpf::{
    AttachHint, AttachMode, Config, Counters, Encapsulation, Flow, InstallError, OffloadError, XdpProgram, is_veth,
};
use support::{cases, kernel::Kernel};
use test_support::{
    capability::{available, skip},
    namespace::{Namespace, ip},
};

fn config(interfaces: &[&str], mode: AttachMode) -> Config {
    Config { interfaces: interfaces.iter().map(|name| (*name).to_owned()).collect(), mode, ..cases::config() }
}

/// Whether an XDP program is attached to the interface.
fn has_program(interface: &str) -> bool {
    let shown = Command::new("ip").args(["link", "show", "dev", interface]).output().unwrap();
    String::from_utf8(shown.stdout).unwrap().contains("prog/xdp id")
}

/// Waits until no XDP program is attached to the interface. Other tests start processes, which for a moment have copies of all file
/// descriptors, including that of a link that is being closed here.
fn assert_free(interface: &str) {
    for _ in 0..1000 {
        if !has_program(interface) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("the program is still on {interface}");
}

/// A loaded program, in a namespace with a pair of interfaces.
fn loaded() -> Option<Kernel> {
    let kernel = Kernel::load(&cases::config())?;
    ip("link add a0 type veth peer name b0");
    Some(kernel)
}

#[test]
fn it_is_attached_until_it_is_dropped() {
    let Some(Kernel { mut offload, .. }) = loaded() else { return };
    offload.attach(&config(&["a0", "b0"], AttachMode::Driver)).unwrap();
    assert!(has_program("a0") && has_program("b0"));
    drop(offload);
    assert_free("a0");
    assert_free("b0");
}

#[test]
fn a_panic_detaches_it() {
    let Some(Kernel { mut offload, .. }) = loaded() else { return };
    offload.attach(&config(&["lo"], AttachMode::Generic)).unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        assert!(has_program("lo"));
        let _offload = offload;
        panic!("on purpose");
    }));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"on purpose"));
    assert_free("lo");
}

#[test]
fn counters_can_be_read_after_detaching() {
    let Some(Kernel { mut offload, .. }) = loaded() else { return };
    offload.attach(&config(&["a0"], AttachMode::Driver)).unwrap();
    offload.detach().unwrap();
    assert_free("a0");
    assert!(offload.counters().unwrap().iter().all(|counters| counters.packets == 0));
    assert!(offload.reasons().unwrap().iter().all(|(_, count)| *count == 0));
}

#[test]
fn all_interfaces_or_none() {
    let Some(Kernel { mut offload, .. }) = loaded() else { return };
    // The loopback interface has no driver for XDP.
    let error = offload.attach(&config(&["a0", "lo"], AttachMode::Driver)).unwrap_err();
    assert!(matches!(&error, OffloadError::Attach { interface, .. } if interface == "lo"), "{error:?}");
    assert_free("a0");
}

#[test]
fn refusals_name_cause_and_remedy() {
    let Some(Kernel { mut offload, .. }) = loaded() else { return };
    let error = offload.attach(&config(&["nowhere0"], AttachMode::Driver)).unwrap_err();
    assert!(matches!(&error, OffloadError::NoInterface(name) if name == "nowhere0"), "{error:?}");

    let error = offload.attach(&config(&[], AttachMode::Driver)).unwrap_err();
    assert!(matches!(&error, OffloadError::Config(_)), "{error:?}");

    let error = offload.attach(&config(&["lo"], AttachMode::Driver)).unwrap_err();
    assert!(matches!(error, OffloadError::Attach { hint: AttachHint::Driver { .. }, .. }), "{error:?}");
    assert!(error.to_string().contains("generic mode"), "{error}");

    let mut other = XdpProgram::load(&cases::config()).unwrap();
    other.attach(&config(&["a0"], AttachMode::Driver)).unwrap();
    for mode in [AttachMode::Driver, AttachMode::Generic] {
        let error = offload.attach(&config(&["a0"], mode)).unwrap_err();
        assert!(matches!(error, OffloadError::Attach { hint: AttachHint::Occupied, .. }), "{error:?}");
    }
}

#[test]
fn an_mtu_beyond_the_drivers_is_named() {
    let Some(Kernel { mut offload, .. }) = loaded() else { return };
    ip("link set a0 mtu 9000");
    ip("link set b0 mtu 9000");
    let error = offload.attach(&config(&["a0"], AttachMode::Driver)).unwrap_err();
    assert!(matches!(error, OffloadError::Attach { hint: AttachHint::Driver { .. }, .. }), "{error:?}");
}

#[test]
fn one_of_a_pair_is_told_from_others() {
    let Some(_kernel) = loaded() else { return };
    assert!(is_veth("a0") && is_veth("b0"));
    for other in ["lo", "nowhere0", "a-name-that-is-too-long"] {
        assert!(!is_veth(other), "{other}");
    }
}

#[test]
fn lacking_privileges_are_named() {
    // A separate thread, since it gives up its privileges for good.
    let Some(namespace) = available("xdp", Namespace::new()) else { return };
    let error = namespace.within(|| {
        give_up_capabilities();
        XdpProgram::load(&cases::config()).map(drop).unwrap_err()
    });
    match error {
        OffloadError::NoProgram(reason) => skip("xdp", reason),
        error => {
            assert!(matches!(error, OffloadError::NotPermitted(..)), "{error:?}");
            assert!(error.to_string().contains("CAP_BPF"), "{error}");
        }
    }
}

/// Gives up all capabilities of the calling thread.
fn give_up_capabilities() {
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let none = [0_u32; 6];
    // SAFETY: `header` and `none` are `struct __user_cap_header_struct` and two `struct __user_cap_data_struct`.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn a_full_map_is_an_ordinary_answer() {
    let Some(kernel) = Kernel::load(&Config { max_flows: 2, ..cases::config() }) else { return };
    let flows: Vec<_> = (0..3)
        .map(|number| cases::flow(Encapsulation::Channel(0x4000 + number), Encapsulation::Bare, true, true))
        .collect();
    for flow in &flows[..2] {
        kernel.offload.install(flow).unwrap();
    }
    assert!(matches!(kernel.offload.install(&flows[2]), Err(InstallError::Full { max_flows: 2 })));
    // A present flow can be replaced, and a removed one makes room.
    kernel.offload.install(&flows[1]).unwrap();
    assert_eq!(kernel.offload.flows(), 2);
    kernel.offload.remove(&flows[0].key()).unwrap();
    kernel.offload.remove(&flows[0].key()).unwrap();
    assert_eq!(kernel.offload.flows(), 1);
    kernel.offload.install(&flows[2]).unwrap();
    assert_eq!(kernel.offload.flows(), 2);
}

#[test]
fn of_two_peers_with_the_same_key_the_first_stays() {
    let Some(kernel) = Kernel::load(&cases::config()) else { return };
    let flow = |destination: SocketAddr| Flow {
        destination,
        ..cases::flow(Encapsulation::Indication, Encapsulation::Bare, true, true)
    };
    // A key has 31 bits for the peer, so among this many peers two have the same key.
    let mut seen = HashMap::new();
    let peers =
        (0..4_u8).flat_map(|host| (1..=u16::MAX).map(move |port| SocketAddr::from(([198, 51, 100, host], port))));
    let same = |peer| Some([seen.insert(flow(peer).key(), peer)?, peer]);
    let [one, other] = peers.filter_map(same).next().expect("two peers with one key").map(flow);
    let offload = &kernel.offload;
    offload.install(&one).unwrap();
    assert!(matches!(offload.install(&other), Err(InstallError::OtherPeer)));
    offload.install(&one).unwrap();
    assert_eq!(offload.flows(), 1);
    assert_eq!(offload.remove(&other.key()).unwrap(), Some(Counters::default()));
    offload.install(&other).unwrap();
}
