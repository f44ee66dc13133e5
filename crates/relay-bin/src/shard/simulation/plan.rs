//! The plan of a run, and the setting that follows from its seed.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use rand::{Rng as _, RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use relay_server::{
    AddressStatus, AddressStatuses, Bandwidth, DefaultFamily, Family, Limits, QuotaBy, Rate, RelayAddresses,
    UsernameLimit,
};

use super::faults::{Fault, Faults};
use crate::addresses::{AddressState, FamilyState};

/// The parameters of a run. The same plan gives the same run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) seed: u64,
    /// How many events happen before everything is left to end.
    pub(super) steps: u64,
    /// The most clients.
    pub(super) clients: usize,
    /// The faults that may happen. The seed chooses among them.
    pub(super) faults: Faults,
}

impl Plan {
    /// The default number of steps.
    pub(super) const STEPS: u64 = 4_000;
    /// The default for the most clients.
    pub(super) const CLIENTS: usize = 9;

    pub(super) const fn new(seed: u64) -> Self {
        Self { seed, steps: Self::STEPS, clients: Self::CLIENTS, faults: Faults::ALL }
    }

    /// A random generator for one purpose. Draws for one purpose do not affect the others.
    pub(super) fn rng(&self, concern: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(concern);
        rng
    }
}

/// The command that repeats the run.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, steps, clients, faults } = self;
        write!(f, "cargo xtask simulate --seed {seed} --steps {steps} --clients {clients} --faults {faults}")
    }
}

/// What the seed decides about the relay and its environment.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) shards: u16,
    pub(super) ports_per_shard: u16,
    pub(super) clients: usize,
    pub(super) users: usize,
    pub(super) username_limit: UsernameLimit,
    pub(super) allocations_per_prefix: Option<NonZeroU32>,
    pub(super) quota_by: QuotaBy,
    pub(super) strict_expiry: bool,
    pub(super) reply_limit: Option<NonZeroU32>,
    pub(super) limits: Limits,
    /// With a limit, no data is owed to clients.
    pub(super) bandwidth: Bandwidth,
    pub(super) indications: bool,
    pub(super) default_family: DefaultFamily,
    pub(super) has_v6: bool,
    /// Whether there is a one-to-one NAT between the relay and all others.
    pub(super) behind_nat: bool,
    /// Whether listening sockets are bound to one address rather than all.
    pub(super) binds_one_address: bool,
    /// The most flows in the kernel; 0 for no kernel path.
    pub(super) flows: usize,
    /// The most datagrams that wait at a socket.
    pub(super) queue: usize,
    pub(super) loss_percent: u32,
    pub(super) duplication_percent: u32,
    pub(super) delay_percent: u32,
    /// The longest extra delay of a datagram.
    pub(super) delay: Duration,
    /// The longest delay of mail.
    pub(super) mail_delay: Duration,
    /// The faults that happen.
    pub(super) faults: Faults,
}

impl Setting {
    pub(super) const LISTEN_PORT: u16 = 3478;
    pub(super) const LOWEST_PORT: u16 = 50_000;

    pub(super) fn new(plan: &Plan) -> Self {
        let mut rng = plan.rng(0);
        // Each kind happens in half of the runs, so that some runs have only a few.
        let faults = plan.faults.and(Faults::from_bits(rng.next_u32()));
        let clients = rng.random_range(2..=Plan::CLIENTS);
        let mut pick = |values: &[u32]| values[rng.random_range(0..values.len())];
        let percent = |fault, percent| if faults.has(fault) { percent } else { 0 };
        let flows = pick(&[0, 1_000, 1_000, 1_000]);
        let few_flows = pick(&[1, 3, 6]);
        Self {
            shards: [1, 2, 2, 3, 3, 4][pick(&[0, 1, 2, 3, 4, 5]) as usize],
            ports_per_shard: [2, 3, 4, 8, 20][pick(&[0, 1, 2, 3, 4]) as usize],
            clients: clients.min(plan.clients.max(1)),
            users: pick(&[1, 2, 4, 100, 100]) as usize,
            username_limit: match pick(&[0, 0, 1, 2, 4]) {
                0 => UsernameLimit::RefuseBeyond(1_000),
                1 => UsernameLimit::ReplaceOldest,
                limit => UsernameLimit::RefuseBeyond(limit),
            },
            allocations_per_prefix: NonZeroU32::new(pick(&[0, 0, 0, 3, 12])),
            quota_by: if pick(&[0, 1]) == 0 { QuotaBy::Username } else { QuotaBy::UserId },
            strict_expiry: pick(&[0, 0, 0, 1]) == 1,
            reply_limit: NonZeroU32::new(pick(&[0, 5, 50])),
            limits: if pick(&[0, 0, 0, 1]) == 1 {
                let (channels, permissions) = (pick(&[2, 6]), pick(&[2, 6]));
                Limits { channels, permissions, ..Limits::default() }
            } else {
                Limits::default()
            },
            bandwidth: if pick(&[0, 0, 0, 0, 0, 0, 0, 1]) == 1 {
                let rate = Rate { packets: NonZeroU64::new(u64::from(pick(&[1, 5]))), bytes: None };
                let [per_allocation, per_user, total] =
                    [0, 1, 2].map(|kind| if pick(&[0, 1, 2]) == kind { rate } else { Rate::default() });
                Bandwidth { per_allocation, per_user, total }
            } else {
                Bandwidth::default()
            },
            indications: pick(&[0, 1, 1]) == 1,
            default_family: if pick(&[0, 1]) == 0 { DefaultFamily::V4 } else { DefaultFamily::Client },
            has_v6: pick(&[0, 1, 1]) == 1,
            behind_nat: pick(&[0, 0, 1]) == 1,
            binds_one_address: pick(&[0, 0, 1]) == 1,
            flows: (if faults.has(Fault::FullMap) { flows.min(few_flows) } else { flows }) as usize,
            queue: if faults.has(Fault::Overrun) { pick(&[2, 4, 8]) as usize } else { 1_000 },
            loss_percent: percent(Fault::Loss, pick(&[1, 5, 20])),
            duplication_percent: percent(Fault::Duplication, pick(&[1, 5, 20])),
            delay_percent: percent(Fault::Delay, pick(&[1, 10, 50])),
            delay: Duration::from_millis(u64::from(pick(&[1, 20, 200]))),
            mail_delay: Duration::from_micros(u64::from(if faults.has(Fault::LateMail) {
                pick(&[100, 2_000, 40_000])
            } else {
                0
            })),
            faults,
        }
    }

    /// The relay's public addresses.
    pub(super) fn public(&self) -> RelayAddresses {
        RelayAddresses {
            v4: Some(Ipv4Addr::new(45, 10, 0, 9)),
            v6: self.has_v6.then(|| Ipv6Addr::new(0x2a05, 0xd000, 0, 0, 0, 0, 0, 9)),
        }
    }

    /// The local address for a public one.
    pub(super) fn local(&self, public: IpAddr) -> IpAddr {
        if self.behind_nat && public.is_ipv4() { Ipv4Addr::new(10, 0, 0, 9).into() } else { public }
    }

    /// The public address for a local one.
    pub(super) fn public_of(&self, local: IpAddr) -> IpAddr {
        let public = self.public().of(Family::of(local));
        public.filter(|public| self.local(*public) == local).unwrap_or(local)
    }

    /// The relay's addresses, with this status of the IPv4 address.
    pub(super) fn addresses(&self, v4: AddressStatus) -> AddressState {
        let family = |public: Option<IpAddr>, status| {
            let public = public?;
            let local = self.local(public);
            let source = (public == local).then_some(public);
            Some(FamilyState { public, relay: local, source, local, status })
        };
        let (public, mut own) = (self.public(), Vec::new());
        for address in Family::ALL.into_iter().filter_map(|family| public.of(family)) {
            own.push(address);
            if self.local(address) != address {
                own.push(self.local(address));
            }
        }
        let statuses = AddressStatuses { v4, v6: AddressStatus::Present };
        AddressState {
            v4: family(public.of(Family::V4), statuses.v4),
            v6: family(public.of(Family::V6), statuses.v6),
            own,
            ..AddressState::default()
        }
    }
}
