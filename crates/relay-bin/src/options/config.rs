//! The relay's configuration, made from the options and checked before anything is bound.

use std::{
    net::{IpAddr, SocketAddr},
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use relay_server::{Bandwidth, Limits, PortRange, RelayAddresses, UsernameLimit};
use turn_auth::{AuthSecret, Authenticator, NonceIssuer};

use super::{
    addresses::{choose_addresses, read_behind_nat},
    bandwidth,
    cli::Options,
    credentials, duration,
    entropy::Entropy,
    limits,
    offload::{self, RelayEndpoints},
    operations::OperationsConfig,
    peers, portal,
    problems::{Collector, Problems},
    record,
    relaying::RelayingConfig,
    seed::{Purpose, Seed},
};
use crate::{
    addresses::{AddressState, AddressTracker, FamilyAddresses, Host, Origin},
    credentials::CredentialConfig,
    offload::OffloadConfig,
    operations::Listen,
    option_names::{CONTROL_ENDPOINT, HEALTH_CHECK_ADDR, HIGHEST_PORT, LISTEN_PORT, LOWEST_PORT, Name},
    peers::PeerConfig,
    portal::PortalConfig,
    record::RecordConfig,
};

pub(crate) const ADDRESS_TIMEOUT: Name = Name::new("--address-timeout", "ADDRESS_TIMEOUT");
const REALM: Name = Name::new("--realm", "REALM");
const ALLOCATIONS_PER_USERNAME: Name = Name::new("--allocations-per-username", "ALLOCATIONS_PER_USERNAME");
const WORKERS: Name = Name::new("--workers", "WORKERS");
const ALLOCATIONS_PER_PREFIX: Name = Name::new("--allocations-per-prefix", "ALLOCATIONS_PER_PREFIX");
const REPLY_LIMIT: Name = Name::new("--reply-limit", "REPLY_LIMIT");
const RNG_SEED: Name = Name::new("--rng-seed", "RNG_SEED");

pub(super) const DEFAULT_LISTEN_PORT: u16 = 3478;
const DEFAULT_PORTS: PortRange = PortRange::DYNAMIC;
/// Longer than duplicate address detection in IPv6, and than most networks take to come up.
const DEFAULT_ADDRESS_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_REALM: &str = "firezone";
const DEFAULT_ALLOCATIONS_PER_USERNAME: u32 = 10;
/// Per second and address. 256 challenges of 84 bytes, with IP and UDP headers, are 172 kbit/s.
const DEFAULT_REPLY_LIMIT: u32 = 256;
const MAX_WORKERS: usize = 1024;

/// The checked configuration.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) v4: Option<FamilyAddresses>,
    pub(crate) v6: Option<FamilyAddresses>,
    pub(crate) origin: Origin,
    /// The addresses at the start.
    pub(crate) addresses: AddressState,
    /// Computes the addresses later.
    pub(crate) tracker: AddressTracker,
    pub(crate) listen_port: u16,
    /// The allocation ports of all workers. Each owns a part, and lends ports to others.
    pub(crate) ports: PortRange,
    pub(crate) credentials: CredentialConfig,
    pub(crate) realm: String,
    pub(crate) username_limit: UsernameLimit,
    /// Replies per second, of each kind, to one address that has shown no credentials; `None` for no limit.
    pub(crate) reply_limit: Option<NonZeroU32>,
    pub(crate) allocations_per_prefix: Option<NonZeroU32>,
    /// The limits on channels and permissions of each worker.
    pub(crate) limits: Limits,
    /// The bandwidth limits of each worker.
    pub(crate) bandwidth: Bandwidth,
    pub(crate) relaying: RelayingConfig,
    /// The rules about peers.
    pub(crate) peers: PeerConfig,
    pub(crate) workers: NonZeroUsize,
    pub(crate) seed: Seed,
    pub(crate) seed_is_given: bool,
    /// The portal to register with; `None` for a standalone relay.
    pub(crate) portal: Option<PortalConfig>,
    /// The recording from the start, if there is one.
    pub(crate) record: Option<RecordConfig>,
    /// The directory of recordings that are started at run time; `None` refuses them.
    pub(crate) record_directory: Option<PathBuf>,
    /// How to relay in the kernel; `None` relays everything in this process.
    pub(crate) offload: Option<OffloadConfig>,
    pub(crate) operations: OperationsConfig,
}

impl Config {
    /// Checks `options`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them.
    pub(crate) fn new(options: &Options, host: &impl Host, entropy: &impl Entropy) -> Result<Self, Problems> {
        let mut problems = Collector::default();
        let (v4, v6, origin) = choose_addresses(options, host, &mut problems);
        let (listen_port, ports) = read_ports(options, &mut problems);
        let seed = read_seed(options, entropy, &mut problems);
        let realm = read_realm(options, &mut problems);
        let portal = portal::read(&options.portal, &mut problems);
        let draw = |problems: &mut Collector| draw_secret(seed.as_ref(), entropy, problems);
        let nonce_key = seed.as_ref().map(|(seed, _)| seed.derive_one(Purpose::Nonces));
        let credentials =
            credentials::read(&options.credentials, &realm, portal.is_some(), draw, nonce_key, &mut problems);
        let operations = OperationsConfig::read(&options.operations, entropy, &mut problems);
        for (name, listen) in [(HEALTH_CHECK_ADDR, &operations.health), (CONTROL_ENDPOINT, &operations.control)] {
            // The kernel checks an address with a scope when it is bound.
            if let Listen::At(address) = listen
                && !matches!(address, SocketAddr::V6(v6) if v6.scope_id() != 0)
                && !host.is_local(address.ip())
            {
                problems.add_missing(format!(
                    "{name} is {address}, which is not at an address of this machine: give one that `ip address` lists, or `off`"
                ));
            }
        }
        let username_limit = match read_username_limit(options, &mut problems) {
            // After a change of the NAT's mapping, a client must not wait until its old allocation expires.
            _ if portal.is_some() => UsernameLimit::ReplaceOldest,
            limit => limit,
        };
        let relaying = RelayingConfig::read(&options.relaying, portal.is_some(), v4.is_some(), &mut problems);
        let peers = peers::read(&options.peers, relay_addresses(v4, v6), &mut problems);
        let workers = read_workers(options, &mut problems);
        let reply_limit = read_reply_limit(options, &mut problems);
        let allocations_per_prefix = problems.read(
            ALLOCATIONS_PER_PREFIX,
            options.allocations_per_prefix.as_deref(),
            "a number from 1 on, such as 1000",
            |text| text.parse().ok(),
        );
        let limits = limits::read(&options.limits, ports, workers, &mut problems);
        let bandwidth = bandwidth::read(&options.limits.bandwidth, workers, &mut problems);
        let behind_nat = read_behind_nat(options, &mut problems);
        read_address_timeout(options, &mut problems);
        let mut tracker = AddressTracker::new(v4, v6, origin, behind_nat);
        let addresses = tracker.look(host);
        let place = RelayEndpoints { v4, v6, own: &addresses.own, listen_port, ports };
        let record = record::read(&options.record, &mut problems);
        let offload = offload::read(&options.offload, &place, host, &mut problems);
        let config = match (seed, credentials) {
            (Some((seed, seed_is_given)), Some(credentials)) => Some(Self {
                addresses,
                tracker,
                v4,
                v6,
                origin,
                listen_port,
                ports,
                credentials,
                realm,
                username_limit,
                reply_limit,
                allocations_per_prefix,
                limits,
                bandwidth,
                relaying,
                peers,
                workers,
                seed,
                seed_is_given,
                portal,
                record,
                record_directory: options.record.directory(),
                offload,
                operations,
            }),
            _ => None,
        };
        problems.finish(config)
    }

    /// The public addresses, which are part of relayed transport addresses.
    pub(crate) fn relay_addresses(&self) -> RelayAddresses {
        relay_addresses(self.v4, self.v6)
    }

    /// The addresses of each family that is served.
    pub(crate) fn families(&self) -> impl Iterator<Item = FamilyAddresses> {
        [self.v4, self.v6].into_iter().flatten()
    }

    /// The seed of each worker's state machine.
    pub(crate) fn worker_seeds(&self) -> impl Iterator<Item = [u8; 32]> + use<> {
        self.seed.derive(Purpose::Workers)
    }

    /// The secret key that decides which worker serves which client.
    pub(crate) fn selector_key(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.seed.derive_one(Purpose::Selector);
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// The seed for delays between attempts to reach the portal.
    pub(crate) fn portal_seed(&self) -> [u8; 32] {
        self.seed.derive_one(Purpose::Portal)
    }
}

fn relay_addresses(v4: Option<FamilyAddresses>, v6: Option<FamilyAddresses>) -> RelayAddresses {
    let v4 = v4.and_then(|addresses| match addresses.public {
        IpAddr::V4(public) => Some(public),
        IpAddr::V6(_) => None,
    });
    let v6 = v6.and_then(|addresses| match addresses.public {
        IpAddr::V4(_) => None,
        IpAddr::V6(public) => Some(public),
    });
    RelayAddresses { v4, v6 }
}

/// How long to wait for addresses. A wrong option counts as the default here; [`Config::new`] reports it.
pub(crate) fn address_timeout(options: &Options) -> Duration {
    read_address_timeout(options, &mut Collector::default())
}

fn read_address_timeout(options: &Options, problems: &mut Collector) -> Duration {
    let wanted = "a time such as 0s, 30s or 5m";
    let given = problems.read(ADDRESS_TIMEOUT, options.address_timeout.as_deref(), wanted, duration::parse);
    given.unwrap_or(DEFAULT_ADDRESS_TIMEOUT)
}

fn read_ports(options: &Options, problems: &mut Collector) -> (u16, PortRange) {
    let mut read = |name, value: &Option<String>, default: u16| {
        let wanted = format!("a port from 1 to 65535, such as {default}");
        let port = |text: &str| text.parse().ok().filter(|port| *port != 0);
        problems.read(name, value.as_deref(), &wanted, port)
    };
    let listen_port = read(LISTEN_PORT, &options.listen_port, DEFAULT_LISTEN_PORT).unwrap_or(DEFAULT_LISTEN_PORT);
    let lowest = read(LOWEST_PORT, &options.lowest_port, DEFAULT_PORTS.lowest()).unwrap_or(DEFAULT_PORTS.lowest());
    let highest = read(HIGHEST_PORT, &options.highest_port, DEFAULT_PORTS.highest()).unwrap_or(DEFAULT_PORTS.highest());
    if lowest > highest {
        problems.add(format!(
            "{LOWEST_PORT} is {lowest}, above {HIGHEST_PORT}, which is {highest}: give a lowest port not above the highest, \
             such as {} and {}",
            DEFAULT_PORTS.lowest(),
            DEFAULT_PORTS.highest()
        ));
    } else if (lowest..=highest).contains(&listen_port) {
        problems.add(format!(
            "{LISTEN_PORT} is {listen_port}, one of the allocation ports {lowest} to {highest}: give a port outside of them, \
             such as {DEFAULT_LISTEN_PORT}, or move {LOWEST_PORT} and {HIGHEST_PORT}"
        ));
    }
    // A range that cannot be made was already reported.
    (listen_port, PortRange::new(lowest, highest).unwrap_or(DEFAULT_PORTS))
}

/// The seed, and whether an option gave it.
fn read_seed(options: &Options, entropy: &impl Entropy, problems: &mut Collector) -> Option<(Seed, bool)> {
    let wanted = "a whole number up to 18446744073709551615, such as 42, or leave it out";
    match options.rng_seed.as_deref().map(str::trim) {
        None | Some("") => draw(entropy, problems).map(|bytes| (Seed::new(bytes), false)),
        given => {
            problems.read(RNG_SEED, given, wanted, |text| text.parse().ok()).map(|seed| (Seed::from_number(seed), true))
        }
    }
}

/// Random bytes from the operating system.
fn draw(entropy: &impl Entropy, problems: &mut Collector) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    entropy.fill(&mut bytes).map_err(|error| problems.add(error)).ok()?;
    Some(bytes)
}

/// A random secret. It follows from the seed if an option gave one.
fn draw_secret(seed: Option<&(Seed, bool)>, entropy: &impl Entropy, problems: &mut Collector) -> Option<AuthSecret> {
    let bytes = match seed {
        Some((seed, true)) => seed.derive_one(Purpose::Secret),
        _ => draw(entropy, problems)?,
    };
    Some(AuthSecret::from_random(bytes))
}

fn read_realm(options: &Options, problems: &mut Collector) -> String {
    let realm = match options.realm.as_deref().map(str::trim) {
        None | Some("") => DEFAULT_REALM,
        Some(realm) => realm,
    };
    let unused = (AuthSecret::from_random([0; 32]), NonceIssuer::new([0; 32]));
    if let Err(error) = Authenticator::new(unused.0, unused.1, realm) {
        problems.add(format!("{REALM}: {error}: give a short name, such as {DEFAULT_REALM}"));
    }
    realm.to_owned()
}

fn read_username_limit(options: &Options, problems: &mut Collector) -> UsernameLimit {
    let wanted = format!("a number from 1 on, such as {DEFAULT_ALLOCATIONS_PER_USERNAME}");
    let number = |text: &str| text.parse().ok().filter(|number| *number != 0);
    let limit = problems.read(ALLOCATIONS_PER_USERNAME, options.allocations_per_username.as_deref(), &wanted, number);
    UsernameLimit::RefuseBeyond(limit.unwrap_or(DEFAULT_ALLOCATIONS_PER_USERNAME))
}

fn read_reply_limit(options: &Options, problems: &mut Collector) -> Option<NonZeroU32> {
    let wanted = format!("a number of replies per second, such as {DEFAULT_REPLY_LIMIT}, or 0 for no limit");
    let limit = problems.read(REPLY_LIMIT, options.reply_limit.as_deref(), &wanted, |text| text.parse().ok());
    NonZeroU32::new(limit.unwrap_or(DEFAULT_REPLY_LIMIT))
}

fn read_workers(options: &Options, problems: &mut Collector) -> NonZeroUsize {
    let wanted = format!("a number from 1 to {MAX_WORKERS}, such as 2, or leave it out to use all cores");
    let number = |text: &str| text.parse().ok().filter(|number: &NonZeroUsize| number.get() <= MAX_WORKERS);
    let given = problems.read(WORKERS, options.workers.as_deref(), &wanted, number);
    given.unwrap_or_else(|| {
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        NonZeroUsize::new(MAX_WORKERS).map_or(cores, |most| cores.min(most))
    })
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
