//! The random operations of the model.

use std::time::Duration;

use proptest::prelude::*;
use relay_server::{Family, RelayOpenError};

use crate::cast::{CLIENTS, NUMBERS, OUTSIDE, USERS, forbidden};

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Allocate {
        client: usize,
        user: UserOp,
        request: AllocateOp,
        sockets: Sockets,
    },
    /// Two clients bind channels to each other's relayed transport address.
    BindEachOther {
        clients: (usize, usize),
        family: Family,
        numbers: (u16, u16),
    },
    /// A client binds all its channels again, while they are bound or after they have expired.
    RebindAll {
        client: usize,
    },
    /// The client's last Allocate again, with the same transaction id, perhaps with another username.
    RetransmitAllocate {
        client: usize,
        impostor: Option<usize>,
    },
    Refresh {
        client: usize,
        user: UserOp,
        lifetime: Option<u32>,
        family: Option<u8>,
    },
    ChannelBind {
        client: usize,
        user: UserOp,
        number: Option<u16>,
        peer: Option<PeerOp>,
    },
    CreatePermission {
        client: usize,
        user: UserOp,
        peers: Vec<PeerOp>,
    },
    /// CreatePermission with this many addresses.
    PermitMany {
        client: usize,
        count: u16,
    },
    /// Two clients permit each other's relayed transport address.
    PermitEachOther {
        clients: (usize, usize),
        family: Family,
    },
    /// A Send indication, perhaps without a peer or data, perhaps unusual.
    Send {
        client: usize,
        peer: Option<PeerOp>,
        len: Option<usize>,
        oddity: Option<Oddity>,
    },
    Binding {
        client: usize,
    },
    /// A request that is not authenticated.
    Stranger {
        client: usize,
        user: UserOp,
        flaw: Flaw,
    },
    /// A request with an unknown comprehension-required attribute.
    UnknownAttribute {
        client: usize,
        user: UserOp,
        method: u16,
    },
    ChannelData {
        client: usize,
        number: u16,
        len: usize,
        padding: usize,
    },
    PeerDatagram {
        to: usize,
        peer: PeerOp,
        len: usize,
    },
    /// The kernel reports ICMP messages of this type and code about a datagram to a peer.
    Icmp {
        to: usize,
        peer: PeerOp,
        message: (u8, u8),
        times: usize,
    },
    Wait {
        duration: Duration,
        how: Wait,
    },
    /// A socket that is being opened is open, or fails.
    Opened {
        index: usize,
        result: Result<(), RelayOpenError>,
    },
    RelayFailed {
        client: usize,
    },
    UsernameMoved {
        user: usize,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum UserOp {
    /// The username that the client's allocation was made with.
    Owner,
    Any(usize),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct AllocateOp {
    pub(crate) transport: Option<u8>,
    pub(crate) lifetime: Option<u32>,
    pub(crate) dont_fragment: bool,
    pub(crate) even_port: Option<bool>,
    pub(crate) token: Option<TokenOp>,
    pub(crate) family: Option<u8>,
    pub(crate) additional: Option<u8>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum TokenOp {
    /// One that was granted, counted from the latest.
    Recent(usize),
    MadeUp,
}

/// The results of opening the sockets of an allocation.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    /// The results of the first attempts.
    pub(crate) results: Vec<Result<(), RelayOpenError>>,
    /// Whether later attempts succeed. If not, they stay pending.
    pub(crate) complete: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum PeerOp {
    Outside(usize),
    /// The relayed transport address of a client of this relay.
    Client(usize, Family),
    Forbidden(usize),
}

/// Something unusual in a Send indication.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Oddity {
    DontFragment,
    UnknownAttribute,
    Fingerprint,
    WrongFingerprint,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Flaw {
    NoIntegrity,
    NoNonce,
    WrongPassword,
    NonceOfAnother,
    ExpiredUsername,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    /// `handle_timeout` is called whenever the relay asked for it.
    Woken,
    /// `handle_timeout` is called once, at the end.
    Late,
    /// `handle_timeout` is not called. The next operation comes first.
    Asleep,
}

pub(crate) fn any() -> impl Strategy<Value = Op> {
    let client = client();
    let user = prop_oneof![8 => Just(UserOp::Owner), 1 => (0..USERS).prop_map(UserOp::Any)];
    prop_oneof![
        12 => (client.clone(), user.clone(), allocate(), sockets())
            .prop_map(|(client, user, request, sockets)| Op::Allocate { client, user, request, sockets }),
        3 => (client.clone(), seldom(0..USERS))
            .prop_map(|(client, impostor)| Op::RetransmitAllocate { client, impostor }),
        4 => client.clone().prop_map(|client| Op::RebindAll { client }),
        10 => (client.clone(), user.clone(), option(lifetime()), refreshed_family())
            .prop_map(|(client, user, lifetime, family)| Op::Refresh { client, user, lifetime, family }),
        20 => (client.clone(), user.clone(), mostly(number()), mostly(peer()))
            .prop_map(|(client, user, number, peer)| Op::ChannelBind { client, user, number, peer }),
        8 => ((client.clone(), client.clone()), family(), (number(), number()))
            .prop_map(|(clients, family, numbers)| Op::BindEachOther { clients, family, numbers }),
        10 => (client.clone(), user.clone(), proptest::collection::vec(peer(), 0..4))
            .prop_map(|(client, user, peers)| Op::CreatePermission { client, user, peers }),
        1 => (client.clone(), prop_oneof![9 => 0_u16..20, 1 => 4_095_u16..4_098])
            .prop_map(|(client, count)| Op::PermitMany { client, count }),
        8 => ((client.clone(), client.clone()), family())
            .prop_map(|(clients, family)| Op::PermitEachOther { clients, family }),
        12 => (client.clone(), mostly(peer()), mostly(0_usize..64), seldom(oddity()))
            .prop_map(|(client, peer, len, oddity)| Op::Send { client, peer, len, oddity }),
        1 => client.clone().prop_map(|client| Op::Binding { client }),
        2 => (client.clone(), user.clone(), flaw())
            .prop_map(|(client, user, flaw)| Op::Stranger { client, user, flaw }),
        1 => (client.clone(), user, prop_oneof![Just(3_u16), Just(4), Just(8), Just(9)])
            .prop_map(|(client, user, method)| Op::UnknownAttribute { client, user, method }),
        4 => (client.clone(), number(), 0_usize..64, 0_usize..4)
            .prop_map(|(client, number, len, padding)| Op::ChannelData { client, number, len, padding }),
        8 => (client.clone(), peer(), 0_usize..64).prop_map(|(to, peer, len)| Op::PeerDatagram { to, peer, len }),
        5 => (client.clone(), peer(), icmp(), prop_oneof![2 => 1_usize..3, 1 => 9_usize..13])
            .prop_map(|(to, peer, message, times)| Op::Icmp { to, peer, message, times }),
        10 => (duration(), wait()).prop_map(|(duration, how)| Op::Wait { duration, how }),
        6 => (0_usize..4, opened()).prop_map(|(index, result)| Op::Opened { index, result }),
        1 => client.prop_map(|client| Op::RelayFailed { client }),
        1 => (0..USERS).prop_map(|user| Op::UsernameMoved { user }),
    ]
}

/// Mostly one of the first three.
fn client() -> impl Strategy<Value = usize> + Clone {
    prop_oneof![8 => 0_usize..3, 1 => 0..CLIENTS]
}

fn allocate() -> impl Strategy<Value = AllocateOp> {
    let token = prop_oneof![4 => (0_usize..2).prop_map(TokenOp::Recent), 1 => Just(TokenOp::MadeUp)];
    // Mostly one unusual attribute, rarely two.
    let odd = (
        prop_oneof![20 => Just(Some(17)), 1 => Just(None), 1 => Just(Some(6))],
        prop_oneof![1 => Just(None), 2 => Just(Some(3600)), 1 => lifetime().prop_map(Some)],
        prop::bool::weighted(0.03),
        seldom(prop::bool::ANY),
        seldom(token),
        proptest::option::weighted(0.1, 0_u8..4),
        prop_oneof![10 => Just(None), 10 => Just(Some(2)), 1 => Just(Some(1))],
    );
    odd.prop_map(|(transport, lifetime, dont_fragment, even_port, token, family, additional)| AllocateOp {
        transport,
        lifetime,
        dont_fragment,
        even_port,
        token,
        family,
        additional,
    })
}

fn sockets() -> impl Strategy<Value = Sockets> {
    let results = prop_oneof![
        8 => Just(Vec::new()),
        3 => proptest::collection::vec(opened(), 1..4),
        1 => Just(vec![Err(RelayOpenError::PortInUse); 20]),
    ];
    (results, prop::bool::weighted(0.8)).prop_map(|(results, complete)| Sockets { results, complete })
}

fn opened() -> impl Strategy<Value = Result<(), RelayOpenError>> {
    prop_oneof![4 => Just(Ok(())), 2 => Just(Err(RelayOpenError::PortInUse)), 1 => Just(Err(RelayOpenError::Failed))]
}

fn peer() -> impl Strategy<Value = PeerOp> {
    prop_oneof![
        6 => (0..OUTSIDE.len()).prop_map(PeerOp::Outside),
        4 => (client(), family()).prop_map(|(client, family)| PeerOp::Client(client, family)),
        1 => (0..forbidden().len()).prop_map(PeerOp::Forbidden),
    ]
}

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::V4), Just(Family::V6)]
}

fn refreshed_family() -> impl Strategy<Value = Option<u8>> {
    prop_oneof![4 => Just(None), 4 => (1_u8..3).prop_map(Some), 1 => Just(Some(3))]
}

fn number() -> impl Strategy<Value = u16> {
    prop_oneof![20 => proptest::sample::select(NUMBERS.to_vec()), 1 => Just(0x3FFF), 1 => Just(0x8000)]
}

fn lifetime() -> impl Strategy<Value = u32> {
    prop_oneof![3 => Just(0), 1 => Just(1), 2 => Just(900), 4 => Just(3600), 1 => Just(u32::MAX), 1 => 500_u32..4000]
}

fn oddity() -> impl Strategy<Value = Oddity> {
    prop_oneof![
        Just(Oddity::DontFragment),
        Just(Oddity::UnknownAttribute),
        Just(Oddity::Fingerprint),
        Just(Oddity::WrongFingerprint),
    ]
}

/// Type and code: mostly those with a meaning in one family or the other.
fn icmp() -> impl Strategy<Value = (u8, u8)> {
    prop_oneof![
        3 => proptest::sample::select(vec![(3, 0), (3, 3), (3, 4), (11, 0), (1, 4), (2, 0)]),
        1 => (0_u8..13, 0_u8..6),
    ]
}

fn flaw() -> impl Strategy<Value = Flaw> {
    prop_oneof![
        Just(Flaw::NoIntegrity),
        Just(Flaw::NoNonce),
        Just(Flaw::WrongPassword),
        Just(Flaw::NonceOfAnother),
        Just(Flaw::ExpiredUsername),
    ]
}

/// Around typical deadlines, and sometimes any duration.
fn duration() -> impl Strategy<Value = Duration> {
    let around = proptest::sample::select(vec![0, 30, 60, 300, 300, 600, 600, 600, 900, 3600_i64]);
    let around = (around, -1_i64..2)
        .prop_map(|(seconds, off)| Duration::from_secs(seconds.saturating_add(off).max(0).unsigned_abs()));
    prop_oneof![
        4 => (1_u64..60).prop_map(Duration::from_secs),
        8 => around,
        1 => (0_u64..4_000_000_000_000).prop_map(Duration::from_nanos),
    ]
}

fn wait() -> impl Strategy<Value = Wait> {
    prop_oneof![Just(Wait::Woken), Just(Wait::Late), Just(Wait::Asleep)]
}

fn option<T: std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    proptest::option::weighted(0.5, of)
}

fn mostly<T: std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    proptest::option::weighted(0.95, of)
}

fn seldom<T: std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    proptest::option::weighted(0.2, of)
}
