use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use proptest::{prelude::*, sample::select};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

const PUBLIC_V4: Ipv4Addr = Ipv4Addr::new(198, 45, 1, 7);
const PUBLIC_V6: Ipv6Addr = Ipv6Addr::new(0x2a00, 1, 0, 0, 0, 0, 0, 7);

fn public() -> RelayAddresses {
    RelayAddresses { v4: Some(PUBLIC_V4), v6: Some(PUBLIC_V6) }
}

/// The addresses of a machine with a public relay: the relay's, and one more.
fn own() -> Vec<IpAddr> {
    ["198.45.1.7", "10.9.9.9", "2a00:1::7"].map(|address| address.parse().unwrap()).to_vec()
}

fn place<'a>(relay_addresses: RelayAddresses, own_addresses: &'a [IpAddr]) -> RelayPlace<'a> {
    RelayPlace { relay_addresses, own_addresses, listen_port: 3478, ports: PortRange::new(49152, 65535).unwrap() }
}

fn rules(texts: &[&str]) -> Vec<PeerRule> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// The name of the reason for which a public relay with these rules refuses `peer`, or `allowed`.
fn verdict(texts: &[&str], peer: &str) -> &'static str {
    let own = own();
    let policy = PeerPolicy::of_relay_at(&public(), rules(texts));
    policy.check(&place(public(), &own), peer.parse().unwrap()).map_or_else(PeerForbidden::name, |()| "allowed")
}

#[test]
fn a_public_relay_reaches_hosts_of_the_internet_and_nothing_else() {
    for peer in [
        "8.8.8.8:53",
        "198.45.1.8:1",
        "172.15.0.1:9",
        "172.32.0.1:9",
        "100.128.0.1:9",
        "[2600::1]:53",
        "[64:ff9b::808:808]:53",
    ] {
        assert_eq!(verdict(&[], peer), "allowed", "{peer}");
    }
    for (peer, reason) in [
        ("8.8.8.8:0", "port_zero"),
        ("0.0.0.0:53", "unspecified"),
        ("0.1.2.3:53", "this_network"),
        ("10.0.0.9:53", "private"),
        ("100.64.0.1:53", "shared"),
        ("100.100.100.200:80", "cloud_metadata"),
        ("127.0.0.1:5353", "loopback"),
        ("127.255.255.254:3478", "own_listener"),
        ("168.63.129.16:53", "cloud_metadata"),
        ("169.254.1.1:53", "link_local"),
        ("169.254.169.254:80", "cloud_metadata"),
        ("172.16.0.1:53", "private"),
        ("192.0.0.8:53", "protocol"),
        ("192.0.2.1:53", "documentation"),
        ("192.88.99.1:53", "tunnel"),
        ("192.168.0.1:53", "private"),
        ("198.19.0.1:53", "benchmarking"),
        ("224.0.0.251:5353", "multicast"),
        ("240.0.0.1:53", "broadcast"),
        ("255.255.255.255:53", "broadcast"),
        ("[::]:53", "unspecified"),
        ("[::1]:53", "loopback"),
        ("[::ffff:8.8.8.8]:53", "ipv4_mapped"),
        ("[::8.8.8.8]:53", "ipv4_in_ipv6"),
        ("[64:ff9b::a00:9]:53", "private"),
        ("[64:ff9b::7f00:1]:53", "loopback"),
        ("[64:ff9b::a9fe:a9fe]:80", "cloud_metadata"),
        ("[64:ff9b::c62d:107]:3478", "own_listener"),
        ("[64:ff9b::c62d:107]:53", "own_machine"),
        ("[64:ff9b:1::808:808]:53", "local_translation"),
        ("[100::1]:53", "discard"),
        ("[200::1]:53", "reserved"),
        ("[2001:2::1]:53", "benchmarking"),
        ("[2001:20::1]:53", "identifier"),
        ("[2001:0:808:808::1]:53", "tunnel"),
        ("[2001:db8::1]:53", "documentation"),
        ("[2002:808:808::1]:53", "tunnel"),
        ("[2a00:2::5efe:10.0.0.9]:53", "private"),
        ("[3fff::1]:53", "documentation"),
        ("[4000::1]:53", "reserved"),
        ("[5f00::1]:53", "segment_routing"),
        ("[fc00::1]:53", "unique_local"),
        ("[fd00:ec2::254]:80", "cloud_metadata"),
        ("[fd20:ce::254]:80", "cloud_metadata"),
        ("[fe80::1]:53", "link_local"),
        ("[fec0::1]:53", "private"),
        ("[ff02::fb]:5353", "multicast"),
    ] {
        assert_eq!(verdict(&[], peer), reason, "{peer}");
    }
}

#[test]
fn of_its_own_machine_it_reaches_relayed_transport_addresses_alone() {
    for own in ["198.45.1.7", "10.9.9.9", "[2a00:1::7]"] {
        for port in [49152, 50000, 65535] {
            assert_eq!(verdict(&["deny 0.0.0.0/0", "deny ::/0"], &format!("{own}:{port}")), "allowed", "{own}");
        }
        for port in [1, 53, 3477, 3479, 49151] {
            assert_eq!(verdict(&["allow 0.0.0.0/0", "allow 198.45.1.0/24"], &format!("{own}:{port}")), "own_machine");
        }
        assert_eq!(verdict(&[], &format!("{own}:3478")), "own_listener");
    }
    assert_eq!(verdict(&["allow 198.45.1.7:10000-20000"], "198.45.1.7:10001"), "allowed", "a media server, say");
    assert_eq!(verdict(&["allow 198.45.1.7:10000-20000"], "198.45.1.7:53"), "own_machine");
    assert_eq!(verdict(&["allow 198.45.1.7"], "198.45.1.7:3478"), "own_listener", "not even if a rule says so");
    assert_eq!(verdict(&["allow 127.0.0.0/8"], "127.0.0.1:53"), "allowed");
    assert_eq!(verdict(&["allow 127.0.0.0/8"], "127.0.0.2:3478"), "own_listener");
}

#[test]
fn the_most_specific_range_decides() {
    for (texts, peer, expected) in [
        (&["allow 10.0.0.0/8"][..], "10.0.0.9:53", "allowed"),
        (&["allow 10.1.0.0/16"], "10.1.0.9:53", "allowed"),
        (&["allow 10.1.0.0/16"], "10.2.0.9:53", "private"),
        // A rule that is wider than an entry of the table does not override it.
        (&["allow 0.0.0.0/0"], "10.0.0.9:53", "private"),
        (&["allow 169.254.0.0/16"], "169.254.1.1:53", "allowed"),
        (&["allow 169.254.0.0/16"], "169.254.169.254:80", "cloud_metadata"),
        (&["allow 169.254.169.254"], "169.254.169.254:80", "allowed"),
        (&["deny 8.0.0.0/8"], "8.8.8.8:53", "rule"),
        (&["deny 8.0.0.0/8", "allow 8.8.8.8"], "8.8.8.8:53", "allowed"),
        (&["deny 0.0.0.0/0", "allow 8.8.8.0/24"], "8.8.8.8:53", "allowed"),
        (&["deny 0.0.0.0/0", "allow 8.8.8.0/24"], "8.8.4.4:53", "rule"),
        (&["allow 8.8.8.8", "deny 8.8.8.8"], "8.8.8.8:53", "rule"),
        // At the same prefix, a rule with fewer ports is more specific.
        (&["deny 8.8.8.8", "allow 8.8.8.8:53"], "8.8.8.8:53", "allowed"),
        (&["deny 8.8.8.8", "allow 8.8.8.8:53"], "8.8.8.8:54", "rule"),
        (&["allow 8.8.8.8:50-60", "deny 8.8.8.8:53"], "8.8.8.8:53", "rule"),
        (&["allow 8.8.8.8:50-52", "deny 8.8.8.8:50-52"], "8.8.8.8:51", "rule"),
        (&["deny 8.8.8.0/24:53", "allow 8.8.8.8"], "8.8.8.8:53", "allowed"),
        (&["allow 10.0.0.0/8:5000-6000"], "10.0.0.9:5000", "allowed"),
        (&["allow 10.0.0.0/8:5000-6000"], "10.0.0.9:4999", "private"),
        // Both the embedded address and the address that embeds it must be allowed.
        (&["allow 10.0.0.0/8"], "[64:ff9b::a00:9]:53", "allowed"),
        (&["deny 8.8.8.8"], "[64:ff9b::808:808]:53", "rule"),
        (&["allow 10.0.0.0/8", "deny 64:ff9b::/96"], "[64:ff9b::a00:9]:53", "rule"),
        (&["allow 64:ff9b:1::/48"], "[64:ff9b:1::808:808]:53", "allowed"),
        (&["allow 64:ff9b:1::/48"], "[64:ff9b:1::a00:9]:53", "private"),
        (&["allow 64:ff9b::/96"], "[64:ff9b::a00:9]:53", "private"),
    ] {
        assert_eq!(verdict(texts, peer), expected, "{texts:?}: {peer}");
    }
}

#[test]
fn a_relay_in_a_private_network_serves_it() {
    let policy = |v4: &str, v6: Option<&str>| {
        let addresses = RelayAddresses { v4: v4.parse().ok(), v6: v6.map(|v6| v6.parse().unwrap()) };
        (addresses, PeerPolicy::of_relay_at(&addresses, []))
    };
    let allows = |(addresses, policy): &(RelayAddresses, PeerPolicy), peer: &str| {
        let own: Vec<IpAddr> = addresses.iter().collect();
        policy.check(&place(*addresses, &own), SocketAddr::new(peer.parse().unwrap(), 53)).is_ok()
    };
    let lan = policy("192.168.1.7", None);
    for peer in ["192.168.1.8", "10.0.0.9", "172.16.0.1", "100.64.0.1", "8.8.8.8"] {
        assert!(allows(&lan, peer), "{peer}");
    }
    for peer in
        ["127.0.0.1", "192.168.1.7", "169.254.169.254", "100.100.100.200", "203.0.113.7", "fd00::1", "fd00:ec2::254"]
    {
        assert!(!allows(&lan, peer), "{peer}");
    }
    // Each family is judged separately: most private IPv4 networks have public IPv6 addresses.
    let home = policy("192.168.1.7", Some("2a00:1::7"));
    assert!(allows(&home, "192.168.1.8") && !allows(&home, "fd00::1"));
    let overlay = policy("198.45.1.7", Some("fd00::7"));
    assert!(!allows(&overlay, "192.168.1.8") && allows(&overlay, "fd00::1") && !allows(&overlay, "fd00:ec2::254"));

    let loopback = policy("127.0.0.1", Some("::1"));
    for peer in ["127.0.0.1", "127.0.0.2", "::1", "192.168.1.8", "fd00::1", "8.8.8.8"] {
        assert!(allows(&loopback, peer), "{peer}");
    }
    let half = policy("127.0.0.1", Some("2a00:1::7"));
    assert!(!allows(&half, "127.0.0.1"), "it serves more than its machine");
    let listener = |address: &str| SocketAddr::new(address.parse().unwrap(), 3478);
    for address in ["127.0.0.1", "127.0.0.2", "::1"] {
        let checked = loopback.1.check(&place(loopback.0, &[]), listener(address));
        assert_eq!(checked, Err(PeerForbidden::OwnListener));
    }
}

#[test]
fn an_address_may_be_allowed_at_some_of_its_ports() {
    let own = own();
    let ports = |texts: &[&str], address: &str| {
        let policy = PeerPolicy::of_relay_at(&public(), rules(texts));
        policy.check_address(&place(public(), &own), address.parse().unwrap())
    };
    assert_eq!(ports(&[], "8.8.8.8"), Ok(PeerPorts::All));
    assert_eq!(ports(&[], "198.45.1.7"), Ok(PeerPorts::Some));
    assert_eq!(ports(&["allow 10.0.0.0/8:53"], "10.0.0.9"), Ok(PeerPorts::Some));
    assert_eq!(ports(&["allow 10.0.0.0/8:1-65535"], "10.0.0.9"), Ok(PeerPorts::All));
    assert_eq!(ports(&["deny 8.8.8.8:53"], "8.8.8.8"), Ok(PeerPorts::Some));
    assert_eq!(
        ports(&["deny 8.8.8.8:1-52", "deny 8.8.8.8:53-65535"], "8.8.8.8").map_err(PeerForbidden::name),
        Err("rule")
    );
    assert_eq!(ports(&[], "10.0.0.9").map_err(PeerForbidden::name), Err("private"));
    assert_eq!(ports(&["allow 10.0.0.0/8:53"], "64:ff9b::a00:9"), Ok(PeerPorts::Some));
}

#[test]
fn reasons_fit_into_a_reason_phrase_and_name_the_remedy() {
    let range = "10.0.0.0/8".parse().unwrap();
    let why = PeerForbidden::Special { range, usage: SpecialUse::Private };
    assert_eq!(why.to_string(), "10.0.0.0/8 is a private network (--allow-peer 10.0.0.0/8)");
    for (range, usage) in special::ranges() {
        let Some(usage) = usage else { continue };
        let rejection = crate::Rejection::PeerForbidden(PeerForbidden::Special { range, usage });
        // RFC 8489, section 14.8.
        assert!(rejection.reason_phrase().chars().count() < 128, "{}", rejection.reason_phrase());
        assert_eq!(SpecialUse::named(usage.name()), Some(usage));
    }
}

/// Addresses in and near the ranges of rules and table.
fn addresses() -> impl Strategy<Value = IpAddr> {
    let v4 = select(vec![
        "10.0.0.0",
        "10.128.0.1",
        "127.0.0.1",
        "8.8.8.8",
        "169.254.169.254",
        "198.45.1.7",
        "239.0.0.1",
        "0.0.0.0",
    ]);
    let v6 = select(vec![
        "64:ff9b::",
        "64:ff9b:1::",
        "2a00:1::7",
        "fd00:ec2::254",
        "2002::",
        "2001:db8::5efe:0:0",
        "::",
        "::1",
        "5f00::",
    ]);
    let near_v4 = (v4, prop_oneof![Just(0_u32), 0_u32..16, any::<u32>()])
        .prop_map(|(base, noise)| IpAddr::V4(Ipv4Addr::from_bits(base.parse::<Ipv4Addr>().unwrap().to_bits() ^ noise)));
    let inner =
        prop_oneof![Just(0x0a00_0009_u128), Just(0x0808_0808), Just(0xc62d_0107), any::<u32>().prop_map(u128::from)];
    let near_v6 = (v6, prop_oneof![Just(0_u128), inner, any::<u128>()])
        .prop_map(|(base, noise)| IpAddr::V6(Ipv6Addr::from_bits(base.parse::<Ipv6Addr>().unwrap().to_bits() ^ noise)));
    prop_oneof![near_v4, near_v6]
}

fn any_rule() -> impl Strategy<Value = PeerRule> {
    let ports = prop_oneof![
        Just(None),
        (select(vec![1_u16, 53, 3478, 49152]), select(vec![53_u16, 54, 3478, 65535]))
            .prop_map(|(first, last)| PortSpan::new(first, last))
    ];
    (addresses(), 0_u8..=128, ports, any::<bool>()).prop_map(|(address, length, ports, allow)| {
        let most = if address.is_ipv4() { 32 } else { 128 };
        let range = PeerRange::new(IpNet::new(address, length % (most + 1)).unwrap(), ports);
        if allow { PeerRule::allow(range).unwrap_or(PeerRule::deny(range)) } else { PeerRule::deny(range) }
    })
}

/// An address as text: 4 or 6 for its family, then its bits.
fn bits(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => format!("4{:032b}", v4.to_bits()),
        IpAddr::V6(v6) => format!("6{:0128b}", v6.to_bits()),
    }
}

fn prefix_bits(net: IpNet) -> String {
    bits(net.addr())[..=usize::from(net.prefix_len())].to_owned()
}

/// The addresses embedded in `text`, cut out of its bits.
fn embedded_bits(text: &str) -> Vec<String> {
    let Some(v6) = text.strip_prefix('6') else { return Vec::new() };
    let is_prefix = |prefix: &str| v6.starts_with(&prefix_bits(prefix.parse().unwrap())[1..]);
    let at = |from: usize| format!("4{}", &v6[from..from + 32]);
    if is_prefix("64:ff9b:1::/48") {
        // Bits 64 to 71 are skipped.
        let skipped = |from: usize| {
            let (address, rest) = v6[from..].split_at(64 - from);
            let (zero, rest) = rest.split_at(8);
            let (more, rest) = rest.split_at(32 - address.len());
            (!format!("{zero}{rest}").contains('1')).then(|| format!("4{address}{more}"))
        };
        let all = [skipped(48), skipped(56), skipped(64), Some(at(96))];
        return all.into_iter().flatten().filter(|address| address.contains('1')).collect();
    }
    let at_the_end = ["::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96"].into_iter().any(is_prefix);
    let is_compatible = is_prefix("::/96") && v6[..127].contains('1');
    let is_isatap = ["0000", "0200"].iter().any(|start| {
        let start = u32::from_str_radix(start, 16).unwrap();
        v6[64..96] == format!("{start:016b}{:016b}", 0x5efe)
    });
    if is_prefix("2001::/32") {
        let inverted: String = v6[96..].chars().map(|bit| if bit == '0' { '1' } else { '0' }).collect();
        return vec![at(32), format!("4{inverted}")];
    }
    if is_prefix("2002::/16") {
        return vec![at(16)];
    }
    if at_the_end || is_compatible || is_isatap { vec![at(96)] } else { Vec::new() }
}

/// The expected result of [`PeerPolicy::check`], found by comparing texts and sorting.
fn reference(rules: &[PeerRule], place: &RelayPlace<'_>, peer: SocketAddr) -> bool {
    let itself = bits(peer.ip());
    let mut readings = embedded_bits(&itself);
    readings.push(itself);
    readings.iter().all(|address| {
        let lies_in = |prefix: &str| address.starts_with(&prefix_bits(prefix.parse().unwrap()));
        let never =
            ["0.0.0.0/32", "224.0.0.0/3", "::/128", "::ffff:0:0/96", "2001::/32", "2002::/16", "fe80::/10", "ff00::/8"];
        let loopback = lies_in("127.0.0.0/8") || lies_in("::1/128");
        let of_machine = place.own_addresses.iter().any(|own| bits(*own) == *address);
        if peer.port() == 0
            || never.into_iter().any(lies_in)
            || ((loopback || of_machine) && peer.port() == place.listen_port)
        {
            return false;
        }
        // The ranges that apply, as (prefix length, -ports, is a rule, denies). The largest decides.
        let mut all = vec![(0, 0, false, false)];
        if of_machine {
            all.push((address.len(), i32::MIN, false, peer.port() < place.ports.lowest()));
        } else {
            let table = special::ranges().filter(|(net, _)| address.starts_with(&prefix_bits(*net)));
            let (length, usage) = table.map(|(net, usage)| (prefix_bits(net).len(), usage)).max().unwrap_or_default();
            all.extend(usage.map(|_| (length, i32::MIN, false, true)));
        }
        for rule in rules {
            let ports = rule.range.ports().map_or(1..=65535, |ports| ports.first()..=ports.last());
            let prefix = prefix_bits(rule.range.net());
            if address.starts_with(&prefix) && ports.contains(&peer.port()) {
                // A rule that names all ports counts like one that names none.
                let count = i32::from(*ports.end()) - i32::from(*ports.start());
                all.push((prefix.len(), -count, true, rule.action == PeerAction::Deny));
            }
        }
        all.sort_unstable();
        !all.last().unwrap().3
    })
}

proptest! {
    #![proptest_config(test_support::property::config())]

    #[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
    #[cfg_attr(not(target_arch = "wasm32"), test)]
    fn it_decides_as_a_search_through_texts_does(
        rules in prop::collection::vec(any_rule(), 0..12),
        peers in prop::collection::vec((addresses(), select(vec![0_u16, 1, 52, 53, 54, 3477, 3478, 49151, 49152, 65535])), 1..20),
    ) {
        let own = own();
        let place = place(public(), &own);
        let policy = PeerPolicy::of_relay_at(&public(), rules.iter().copied());
        for (address, port) in peers {
            let peer = SocketAddr::new(address, port);
            prop_assert_eq!(policy.check(&place, peer).is_ok(), reference(&rules, &place, peer), "{}", peer);
            let at_ports = |port| policy.check(&place, SocketAddr::new(address, port)).is_ok();
            let interesting = [1, 52, 53, 54, 55, 3477, 3478, 3479, 49151, 49152, 65535];
            match policy.check_address(&place, address) {
                Ok(PeerPorts::All) => prop_assert!(interesting.into_iter().all(at_ports), "{}", address),
                Ok(PeerPorts::Some) => prop_assert!(
                    interesting.into_iter().any(at_ports) && !interesting.into_iter().all(at_ports), "{}", address),
                Err(_) => prop_assert!(!interesting.into_iter().any(at_ports), "{}", address),
            }
        }
        let again = PeerPolicy::new([], policy.rules().map(|rule| rule.to_string().parse().unwrap()));
        prop_assert_eq!(again.rules().collect::<Vec<_>>(), policy.rules().collect::<Vec<_>>());
    }
}
