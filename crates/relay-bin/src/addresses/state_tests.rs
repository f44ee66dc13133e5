//! Tests of the derived addresses on machines with different networks.

use super::*;
use crate::addresses::Network;

/// A machine with these addresses. Its routes use the first address of each family that is not loopback.
#[derive(Default)]
struct FakeHost(Vec<Network>);

impl FakeHost {
    fn new(addresses: &[(&str, u8)]) -> Self {
        Self(addresses.iter().map(|(address, prefix)| Network { address: ip(address), prefix: *prefix }).collect())
    }
}

impl Host for FakeHost {
    fn networks(&self) -> &[Network] {
        &self.0
    }

    fn route_source_v4(&self) -> Option<std::net::Ipv4Addr> {
        self.0.iter().filter(|network| network.is_of_a_network()).find_map(|network| match network.address {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        })
    }

    fn route_source_v6(&self) -> Option<std::net::Ipv6Addr> {
        self.0.iter().filter(|network| network.is_of_a_network()).find_map(|network| match network.address {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => Some(v6),
        })
    }

    fn is_local(&self, address: IpAddr) -> bool {
        address.is_unspecified() || self.0.iter().any(|network| network.address == address)
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A tracker that listens on all addresses of the family of `public`.
fn tracker(public: &str, behind_nat: BehindNat) -> AddressTracker {
    let public = ip(public);
    bound(FamilyAddresses { public, listen: any(public), relay: any(public), local: public }, behind_nat)
}

fn bound(addresses: FamilyAddresses, behind_nat: BehindNat) -> AddressTracker {
    let family = Some(addresses);
    let (v4, v6) = if addresses.public.is_ipv4() { (family, None) } else { (None, family) };
    AddressTracker::new(v4, v6, Origin::Given, behind_nat)
}

fn look(tracker: &mut AddressTracker, host: &FakeHost) -> FamilyState {
    tracker.look(host).families().next().unwrap()
}

const LO: (&str, u8) = ("127.0.0.1", 8);
const LO6: (&str, u8) = ("::1", 128);
const PRIVATE: (&str, u8) = ("10.0.0.7", 24);

#[test]
fn a_public_address_is_a_nats_or_away_as_the_machines_other_addresses_tell() {
    use AddressStatus::{Missing, NoFamily, Present};
    for (public, others, status) in [
        // Clouds: the machine's own address is private.
        ("8.8.4.4", &[LO, PRIVATE][..], Present),
        ("2600::7", &[LO, PRIVATE, ("fd00::7", 64)], Present),
        // Containers in a private network: the host has another address.
        ("192.168.1.7", &[LO, ("172.17.0.2", 16)], Present),
        // Routers with a floating address, which is in the network of each.
        ("10.0.0.100", &[LO, PRIVATE], Missing),
        ("192.0.2.100", &[LO, PRIVATE, ("192.0.2.7", 24)], Missing),
        // A machine with a global address, which needs no NAT.
        ("8.8.4.4", &[LO, ("9.9.9.9", 32)], Missing),
        ("2600::7", &[LO, PRIVATE, ("2600:1::7", 64)], Missing),
        // One family is switched off, or has only link-local addresses.
        ("2600::7", &[LO, PRIVATE], NoFamily),
        ("2600::7", &[LO, LO6, PRIVATE, ("fe80::1", 64)], NoFamily),
        ("8.8.4.4", &[LO, ("2600:1::7", 64)], NoFamily),
        // No network at all: the relay serves this machine.
        ("8.8.4.4", &[LO], Present),
        ("2600::7", &[LO, LO6], Present),
    ] {
        let state = look(&mut tracker(public, BehindNat::Auto), &FakeHost::new(others));
        assert_eq!((state.status, state.source), (status, None), "{public} {others:?}");
        assert!(state.relay.is_unspecified());
    }
}

#[test]
fn the_option_overrides_what_addresses_tell() {
    let (inside, outside) = (FakeHost::new(&[LO, PRIVATE]), FakeHost::new(&[LO, ("9.9.9.9", 32)]));
    assert_eq!(look(&mut tracker("8.8.4.4", BehindNat::No), &inside).status, AddressStatus::Missing);
    assert_eq!(look(&mut tracker("10.0.0.100", BehindNat::Yes), &inside).status, AddressStatus::Present);
    assert_eq!(look(&mut tracker("8.8.4.4", BehindNat::Yes), &outside).status, AddressStatus::Present);
    // The option is about NATs. It does not make up for a missing family.
    assert_eq!(look(&mut tracker("2600::7", BehindNat::Yes), &inside).status, AddressStatus::NoFamily);
}

#[test]
fn data_leaves_from_a_floating_address_while_it_is_there() {
    let public = ip("8.8.4.4");
    let (without, with) = (FakeHost::new(&[LO, PRIVATE]), FakeHost::new(&[LO, PRIVATE, ("8.8.4.4", 32)]));
    let mut tracker = tracker("8.8.4.4", BehindNat::Auto);
    let before = look(&mut tracker, &without);
    assert_eq!((before.status, before.local, before.source), (AddressStatus::Present, ip(PRIVATE.0), None));

    let there = look(&mut tracker, &with);
    let expected =
        FamilyState { public, relay: public, source: Some(public), local: public, status: AddressStatus::Present };
    assert_eq!(there, expected);

    // The machine has had the address, so it is no NAT's. Data is lost meanwhile, rather than sent from another address.
    let away = look(&mut tracker, &without);
    assert_eq!((away.status, away.source), (AddressStatus::Missing, Some(public)));
    assert_eq!(look(&mut tracker, &with), expected);
}

#[test]
fn a_bound_address_is_what_counts() {
    let (public, local) = (ip("8.8.4.4"), ip(PRIVATE.0));
    let addresses = FamilyAddresses { public, listen: local, relay: local, local };
    let mut tracker = bound(addresses, BehindNat::Auto);
    let state = look(&mut tracker, &FakeHost::new(&[LO, PRIVATE, ("8.8.4.4", 32)]));
    assert_eq!((state.relay, state.source, state.status), (local, None, AddressStatus::Present));
    assert_eq!(look(&mut tracker, &FakeHost::new(&[LO, ("10.0.0.8", 24)])).status, AddressStatus::Missing);
    assert_eq!(look(&mut tracker, &FakeHost::new(&[LO, ("2600::7", 64)])).status, AddressStatus::NoFamily);
}

#[test]
fn every_address_of_the_machine_is_own_while_all_are_listened_on() {
    let mut natted = tracker("8.8.4.4", BehindNat::Auto);
    let own = natted.look(&FakeHost::new(&[LO, LO6, PRIVATE])).own;
    assert_eq!(own, [ip("8.8.4.4"), ip(PRIVATE.0), ip(LO.0)]);
    let own = natted.look(&FakeHost::new(&[LO, LO6, PRIVATE, ("10.9.9.9", 24)])).own;
    assert_eq!(own, [ip("8.8.4.4"), ip(PRIVATE.0), ip("10.9.9.9"), ip(LO.0)]);
}

#[test]
fn a_relay_that_found_no_network_notices_one() {
    let loopback = ip(LO.0);
    let addresses = FamilyAddresses { public: loopback, listen: loopback, relay: loopback, local: loopback };
    let mut tracker = AddressTracker::new(Some(addresses), None, Origin::Loopback, BehindNat::Auto);
    assert!(!tracker.look(&FakeHost::new(&[LO])).has_outgrown_loopback);
    assert!(tracker.look(&FakeHost::new(&[LO, PRIVATE])).has_outgrown_loopback);
    // Loopback was asked for by option.
    let mut given = AddressTracker::new(Some(addresses), None, Origin::Given, BehindNat::Auto);
    assert!(!given.look(&FakeHost::new(&[LO, PRIVATE])).has_outgrown_loopback);
}
