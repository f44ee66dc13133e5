//! Tests of the whole configuration, with defaults and errors.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::{addresses::Network, options::credentials::CredentialOptions};

/// A machine with one public and one private IPv4 address, and one IPv6 address.
struct FakeHost {
    has_routes: bool,
    networks: Vec<Network>,
}

impl FakeHost {
    fn new(has_routes: bool) -> Self {
        let network = |address, prefix| Network { address, prefix };
        let networks = vec![
            network(Ipv4Addr::LOCALHOST.into(), 8),
            network(V4.into(), 24),
            network(Ipv6Addr::LOCALHOST.into(), 128),
            network(V6.into(), 64),
        ];
        Self { has_routes, networks }
    }
}

const V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);

impl Host for FakeHost {
    fn networks(&self) -> &[Network] {
        &self.networks
    }

    fn route_source_v4(&self) -> Option<Ipv4Addr> {
        self.has_routes.then_some(V4)
    }

    fn route_source_v6(&self) -> Option<Ipv6Addr> {
        self.has_routes.then_some(V6)
    }

    fn is_local(&self, address: IpAddr) -> bool {
        address.is_unspecified() || self.networks.iter().any(|network| network.address == address)
    }
}

struct FixedEntropy(u8);

impl Entropy for FixedEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), String> {
        bytes.fill(self.0);
        Ok(())
    }
}

struct NoEntropy;

impl Entropy for NoEntropy {
    fn fill(&self, _: &mut [u8]) -> Result<(), String> {
        Err("none".to_owned())
    }
}

fn config(options: &Options) -> Result<Config, Problems> {
    Config::new(options, &FakeHost::new(true), &FixedEntropy(7))
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn secret_option(secret: &str) -> CredentialOptions {
    CredentialOptions { auth_secret: vec![secret.to_owned()], ..CredentialOptions::default() }
}

#[track_caller]
fn refused(options: &Options, mentions: &[&str]) {
    let problems = config(options).unwrap_err();
    let problems: Vec<&str> = problems.iter().collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    for part in mentions {
        assert!(problems[0].contains(part), "{part:?} not in {:?}", problems[0]);
    }
    assert!(!problems[0].contains('\n'));
}

#[test]
fn defaults() {
    let config = config(&Options::default()).unwrap();
    assert_eq!(config.relay_addresses(), RelayAddresses { v4: Some(V4), v6: Some(V6) });
    assert_eq!(config.origin, Origin::Detected);
    assert_eq!((config.listen_port, config.ports), (3478, PortRange::DYNAMIC));
    assert_eq!(config.realm, "firezone");
    assert_eq!(config.username_limit, UsernameLimit::RefuseBeyond(10));
    assert!(config.credentials.is_drawn && !config.seed_is_given);
    let v4 = config.v4.unwrap();
    assert_eq!((v4.listen, v4.relay), (Ipv4Addr::UNSPECIFIED.into(), V4.into()));
}

#[test]
fn empty_values_count_as_none() {
    let options = Options {
        public_ip4_addr: some(""),
        rng_seed: some(" "),
        credentials: secret_option(""),
        ..Options::default()
    };
    let config = config(&options).unwrap();
    assert!(config.credentials.is_drawn && !config.seed_is_given);
    assert_eq!(config.origin, Origin::Detected);
}

#[test]
fn without_routes_it_serves_this_machine_alone() {
    let config = Config::new(&Options::default(), &FakeHost::new(false), &FixedEntropy(1)).unwrap();
    assert_eq!(config.origin, Origin::Loopback);
    assert_eq!(config.v4, Some(FamilyAddresses::at_loopback()));
}

impl FamilyAddresses {
    fn at_loopback() -> Self {
        let localhost = Ipv4Addr::LOCALHOST.into();
        Self { public: localhost, listen: localhost, relay: localhost, local: localhost }
    }
}

#[test]
fn only_families_that_are_given_are_served() {
    let options = Options { public_ip6_addr: some("2001:db8::7"), ..Options::default() };
    let config = config(&options).unwrap();
    assert_eq!(config.relay_addresses(), RelayAddresses { v4: None, v6: Some(V6) });
    assert!(config.v4.is_none());
}

#[test]
fn behind_a_nat_allocations_are_reached_at_the_local_address() {
    let public = "203.0.113.7".parse::<IpAddr>().unwrap();
    let options = Options { public_ip4_addr: some("203.0.113.7"), ..Options::default() };
    let v4 = config(&options).unwrap().v4.unwrap();
    let any = Ipv4Addr::UNSPECIFIED.into();
    assert_eq!(v4, FamilyAddresses { public, listen: any, relay: any, local: V4.into() });

    let options = Options { bind_ip4_addr: some("10.0.0.7"), ..options };
    let config = config(&options).unwrap();
    let v4 = config.v4.unwrap();
    assert_eq!(v4, FamilyAddresses { public, listen: V4.into(), relay: V4.into(), local: V4.into() });
    assert_eq!(config.addresses.own, [V4.into(), public]);
}

#[test]
fn a_bind_address_alone_is_public_too() {
    let options = Options { bind_ip4_addr: some("10.0.0.7"), ..Options::default() };
    let config = config(&options).unwrap();
    assert_eq!(config.relay_addresses(), RelayAddresses { v4: Some(V4), v6: None });
}

#[test]
fn every_local_address_is_own_when_all_are_listened_on() {
    let options = Options { public_ip4_addr: some("203.0.113.7"), ..Options::default() };
    let own = config(&options).unwrap().addresses.own;
    let public = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));
    assert_eq!(own, [V4.into(), Ipv4Addr::LOCALHOST.into(), public]);
}

#[test]
fn problems_name_option_variable_and_remedy() {
    let none = Options::default;
    refused(&Options { public_ip4_addr: some("x"), ..none() }, &["--public-ip4-addr", "PUBLIC_IP4_ADDR", "\"x\""]);
    refused(&Options { public_ip4_addr: some("0.0.0.0"), ..none() }, &["nobody can send to"]);
    refused(&Options { public_ip6_addr: some("fe80::1"), ..none() }, &["PUBLIC_IP6_ADDR", "nobody can send to"]);
    refused(
        &Options { bind_ip4_addr: some("10.9.9.9"), ..none() },
        &["BIND_IP4_ADDR", "not an address of this machine"],
    );
    refused(&Options { listen_port: some("0"), ..none() }, &["--listen-port (LISTEN_PORT)", "3478"]);
    refused(&Options { listen_port: some("65536"), ..none() }, &["LISTEN_PORT"]);
    refused(&Options { listen_port: some("50000"), ..none() }, &["LISTEN_PORT", "allocation ports"]);
    refused(
        &Options { lowest_port: some("60000"), highest_port: some("50000"), ..none() },
        &["LOWEST_PORT", "HIGHEST_PORT", "60000"],
    );
    refused(&Options { address_timeout: some("soon"), ..none() }, &["ADDRESS_TIMEOUT", "30s"]);
    refused(&Options { behind_nat: some("maybe"), ..none() }, &["BEHIND_NAT", "auto, yes or no"]);
    refused(&Options { credentials: secret_option("short"), ..none() }, &["AUTH_SECRET", "openssl rand -hex 32"]);
    refused(&Options { realm: some("a\"b"), ..none() }, &["REALM", "firezone"]);
    refused(&Options { allocations_per_username: some("0"), ..none() }, &["ALLOCATIONS_PER_USERNAME"]);
    refused(&Options { workers: some("0"), ..none() }, &["WORKERS"]);
    refused(&Options { workers: some("1025"), ..none() }, &["WORKERS", "1024"]);
    refused(&Options { reply_limit: some("many"), ..none() }, &["REPLY_LIMIT", "256", "0"]);
    refused(&Options { rng_seed: some("-1"), ..none() }, &["RNG_SEED", "42"]);
}

#[test]
fn what_the_machine_lacks_may_come_and_what_is_wrong_may_not() {
    use crate::options::operations::OperationsOptions;

    let operations = OperationsOptions { health_check_addr: some("10.9.9.9:8080"), ..OperationsOptions::default() };
    let health = Options { operations, ..Options::default() };
    refused(&health, &["HEALTH_CHECK_ADDR", "10.9.9.9:8080", "not at an address of this machine"]);
    assert!(config(&health).unwrap_err().may_pass());
    let options = Options { bind_ip4_addr: some("10.9.9.9"), ..health };
    let problems = config(&options).unwrap_err();
    assert!(problems.may_pass() && problems.iter().count() == 2, "{problems}");
    // With a real error, missing addresses are not reported.
    let options = Options { listen_port: some("0"), ..options };
    refused(&options, &["LISTEN_PORT"]);
    assert!(!config(&options).unwrap_err().may_pass());
    let no_route = Config::new(
        &Options { bind_ip4_addr: some("0.0.0.0"), ..Options::default() },
        &FakeHost::new(false),
        &FixedEntropy(1),
    );
    assert!(no_route.unwrap_err().may_pass());
}

#[test]
fn a_secret_that_is_refused_is_not_shown() {
    let options = Options { credentials: secret_option("hunter2"), ..Options::default() };
    assert!(!config(&options).unwrap_err().to_string().contains("hunter2"));
}

#[test]
fn all_problems_are_told_at_once() {
    let options = Options {
        public_ip4_addr: some("x"),
        listen_port: some("y"),
        credentials: secret_option("z"),
        workers: some("many"),
        ..Options::default()
    };
    assert_eq!(config(&options).unwrap_err().iter().count(), 4);
}

#[test]
fn a_given_seed_repeats_everything() {
    let seeded = Options { rng_seed: some("42"), ..Options::default() };
    let secret = |config: &Config| config.credentials.secret().unwrap().expose().to_owned();
    let host = FakeHost::new(true);
    let (a, b) = (Config::new(&seeded, &host, &NoEntropy).unwrap(), config(&seeded).unwrap());
    assert_eq!(secret(&a), secret(&b));
    let seeds = |config: &Config| config.worker_seeds().take(3).collect::<Vec<_>>();
    assert_eq!(seeds(&a), seeds(&b));
    assert_ne!(seeds(&a)[0], seeds(&a)[1]);

    assert!(Config::new(&Options::default(), &host, &NoEntropy).is_err());
}

#[test]
fn no_random_choice_stands_in_the_debug_output() {
    let config = config(&Options { rng_seed: some("42"), ..Options::default() }).unwrap();
    assert!(format!("{config:?}").contains("Seed(..)"));
}

#[test]
fn replies_are_limited_unless_that_is_switched_off() {
    let limit = |text: &str| config(&Options { reply_limit: some(text), ..Options::default() }).unwrap().reply_limit;
    assert_eq!(limit("").map(NonZeroU32::get), Some(DEFAULT_REPLY_LIMIT));
    assert_eq!(limit("4096").map(NonZeroU32::get), Some(4096));
    assert_eq!(limit("0"), None);
}

#[test]
fn networks_have_no_limit_unless_one_is_given() {
    let options = |text: &str| Options { allocations_per_prefix: some(text), ..Options::default() };
    assert_eq!(config(&Options::default()).unwrap().allocations_per_prefix, None);
    assert_eq!(config(&options("7")).unwrap().allocations_per_prefix, NonZeroU32::new(7));
    refused(&options("0"), &["ALLOCATIONS_PER_PREFIX", "from 1 on"]);
}

#[test]
fn with_a_portal_a_username_holds_one_allocation_and_the_newest_wins() {
    use crate::options::portal::PortalOptions;

    let token = |token: &str| Options {
        portal: PortalOptions {
            firezone_token: some(token),
            firezone_api_url: some("ws://127.0.0.1:1"),
            ..PortalOptions::default()
        },
        allocations_per_username: some("7"),
        ..Options::default()
    };
    let with_portal = config(&token("token")).unwrap();
    assert!(with_portal.portal.is_some());
    assert_eq!(with_portal.username_limit, UsernameLimit::ReplaceOldest);
    let standalone = config(&token("")).unwrap();
    assert!(standalone.portal.is_none());
    assert_eq!(standalone.username_limit, UsernameLimit::RefuseBeyond(7));
    assert_ne!(Some(with_portal.portal_seed()), with_portal.worker_seeds().next());
}
