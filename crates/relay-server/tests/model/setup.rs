//! Random configurations for the model and for the fuzz target `operations`.

use proptest::prelude::{Just, Strategy, any as arbitrary, prop, prop_oneof};
use relay_server::{Limits, PortRange, QuotaBy, UsernameLimit};

use crate::{
    pair::Pair,
    support::{RELAY_V4, RELAY_V6},
};

fn username_limit() -> impl Strategy<Value = UsernameLimit> {
    prop_oneof![Just(UsernameLimit::ReplaceOldest), (0_u32..4).prop_map(UsernameLimit::RefuseBeyond)]
}

/// The configuration of a relay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    lowest: u16,
    ports: u16,
    families: (bool, bool),
    limit: UsernameLimit,
    quota_by: QuotaBy,
    bob_is_unlimited: bool,
    strict_expiry: bool,
    indications: bool,
    dont_fragment: bool,
    limits: Limits,
    indicated_peers: u32,
    asks_outside: bool,
}

/// Mostly more than the operations use; otherwise few enough that clients reach the limit.
fn limits() -> impl Strategy<Value = Limits> {
    let few = (0_u16..6, 0_u16..6, 0_u32..12, 0_u32..12).prop_map(
        |(channels_per_allocation, permissions_per_allocation, channels, permissions)| Limits {
            channels_per_allocation,
            permissions_per_allocation,
            channels,
            permissions,
        },
    );
    prop_oneof![2 => Just(Limits::default()), 1 => few]
}

pub(crate) fn any() -> impl Strategy<Value = Setup> {
    let families = prop_oneof![4 => Just((true, true)), 1 => Just((true, false)), 1 => Just((false, true))];
    let ports = (50_000_u16..50_002, prop_oneof![0_u16..8, Just(30)]);
    (
        ports,
        families,
        username_limit(),
        arbitrary::<(bool, bool, bool)>(),
        [prop::bool::weighted(0.8), prop::bool::weighted(0.8)],
        limits(),
        (prop_oneof![1 => Just(0), 1 => 1_u32..8, 2 => Just(1_000)], arbitrary::<bool>()),
    )
        .prop_map(
            |(
                (lowest, ports),
                families,
                limit,
                (by_user_id, bob_is_unlimited, strict_expiry),
                [indications, dont_fragment],
                limits,
                (indicated_peers, asks_outside),
            )| Setup {
                lowest,
                ports,
                families,
                limit,
                quota_by: if by_user_id { QuotaBy::UserId } else { QuotaBy::Username },
                bob_is_unlimited,
                strict_expiry,
                indications,
                dont_fragment,
                limits,
                indicated_peers,
                asks_outside: asks_outside || indicated_peers == 0,
            },
        )
}

impl Setup {
    /// A relay with this configuration, beside its reference model.
    pub(crate) fn pair(self, seed: [u8; 32]) -> Pair {
        Pair::new(seed, self.asks_outside, |config| {
            config.ports = PortRange::new(self.lowest, self.lowest + self.ports).unwrap();
            config.relay_addresses.v4 = self.families.0.then_some(RELAY_V4);
            config.relay_addresses.v6 = self.families.1.then_some(RELAY_V6);
            config.username_limit = self.limit;
            config.quota_by = self.quota_by;
            config.unlimited_user = self.bob_is_unlimited.then(|| "bob".into());
            config.strict_expiry = self.strict_expiry;
            config.indications = self.indications;
            config.dont_fragment = self.dont_fragment;
            config.limits = self.limits;
            config.indicated_peers = self.indicated_peers;
        })
    }
}
