//! RFC 8656, sections 12.6 and 12.7, for two clients of one relay that are on different shards.

use std::net::SocketAddr;

use relay_server::{
    AllocationPort, Arriving, ChannelNumber, Crossing, DropReason, Encapsulation, Family, Flow, FlowKey, Forward,
    Leaving, Output, ShardMessage, UsernameLimit, Via,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{
    Client, LISTEN_PORT, Relay, Shards, allocate, allocate_dual_stack, bind, channel_data, delete, kind, refresh,
};

const CHANNEL: u16 = 0x4001;
const OTHER_CHANNEL: u16 = 0x4002;

/// Two clients on two shards with one port each, and their relayed transport addresses.
struct Two {
    shards: Shards,
    one: Client,
    other: Client,
    at_one: SocketAddr,
    at_other: SocketAddr,
}

impl Two {
    fn new() -> Self {
        Self::of(Shards::new(2, 1, |_| ()))
    }

    fn of(mut shards: Shards) -> Self {
        let (mut one, mut other) = (Client::new("198.51.100.7:50000"), Client::new("[2001:db8:7::5]:61000"));
        let at_one = shards.relays[0].allocate(&mut one);
        let at_other = shards.relays[1].allocate(&mut other);
        Self { shards, one, other, at_one, at_other }
    }

    /// Both clients have bound channels to each other, and all messages have arrived.
    fn bound() -> Self {
        let mut two = Self::new();
        two.bind_one();
        two.bind_other();
        two.shards.deliver_all();
        two
    }

    fn near(&self) -> Half<'_> {
        (&self.one, CHANNEL, self.at_one)
    }

    fn far(&self) -> Half<'_> {
        (&self.other, OTHER_CHANNEL, self.at_other)
    }

    fn bind_one(&mut self) {
        self.shards.relays[0].granted(&mut self.one, &bind(CHANNEL, self.at_other));
    }

    fn bind_other(&mut self) {
        self.shards.relays[1].granted(&mut self.other, &bind(OTHER_CHANNEL, self.at_one));
    }

    fn send_from_one(&mut self) -> Option<Forward> {
        self.shards.relays[0].receive(&self.one, &channel_data(CHANNEL, b"hello"))
    }

    fn send_from_other(&mut self) -> Option<Forward> {
        self.shards.relays[1].receive(&self.other, &channel_data(OTHER_CHANNEL, b"hello"))
    }

    /// Sends data from `one` through its allocation's socket, as to any peer, to `other`'s socket. Returns what is relayed there.
    fn send_through_sockets(&mut self) -> Option<Forward> {
        let port = AllocationPort::new(self.at_one.port());
        let forward = self.send_from_one();
        assert_eq!(
            forward,
            Some(Forward {
                from: Via::Relay(port),
                to: self.at_other,
                encapsulation: Encapsulation::Bare,
                payload: 4..9
            })
        );
        assert_eq!(self.shards.relays[0].flows.len(), 0);
        self.shards.relays[1].receive_from_peer(AllocationPort::new(self.at_other.port()), self.at_one, b"hello")
    }
}

fn straight_to(client: &Client, channel: u16) -> Forward {
    Forward {
        from: Via::Listener(client.server),
        to: client.socket,
        encapsulation: Encapsulation::Channel(ChannelNumber::new(channel).unwrap()),
        payload: 4..9,
    }
}

fn flows(relay: &Relay) -> Vec<Flow> {
    relay.flows.values().copied().collect()
}

type Half<'a> = (&'a Client, u16, SocketAddr);

/// The flow from one client to another, given the channel and the relayed transport address of each.
fn flow((from, channel, from_at): Half<'_>, (to, to_channel, to_at): Half<'_>) -> Flow {
    Flow {
        key: FlowKey {
            remote: from.socket,
            local_port: LISTEN_PORT,
            carries: Arriving::Channel(ChannelNumber::new(channel).unwrap()),
        },
        arrives: Via::Listener(from.server),
        leaves: Via::Listener(to.server),
        to: to.socket,
        leaves_in: Leaving::Channel(ChannelNumber::new(to_channel).unwrap()),
        from_client_of: Some(AllocationPort::new(from_at.port())),
        to_client_of: Some(AllocationPort::new(to_at.port())),
    }
}

#[test]
fn clients_of_two_shards_are_crossed_directly() {
    let mut two = Two::bound();
    assert_eq!(two.send_from_one(), Some(straight_to(&two.other, OTHER_CHANNEL)));
    assert_eq!(two.send_from_other(), Some(straight_to(&two.one, CHANNEL)));
    two.shards.post();
    assert_eq!(two.shards.under_way_to(1).count(), 0, "a relayed packet is no event");
    // Each shard has the flow from its own client.
    assert_eq!(flows(&two.shards.relays[0]), [flow(two.near(), two.far())]);
    assert_eq!(flows(&two.shards.relays[1]), [flow(two.far(), two.near())]);
}

#[test]
fn data_goes_through_the_sockets_until_a_shard_knows_better() {
    let mut two = Two::new();
    two.bind_one();
    two.shards.deliver_all();
    assert_eq!(two.send_through_sockets(), None, "the other has not bound a channel yet");
    assert_eq!(two.shards.relays[1].take_drops(), [DropReason::UnknownPeer]);
    two.bind_other();
    let arrived = two.send_through_sockets();
    assert_eq!(arrived, Some(Forward { payload: 0..5, ..straight_to(&two.other, OTHER_CHANNEL) }));
    // The shard of `other` has the message already.
    assert_eq!(two.send_from_other(), Some(straight_to(&two.one, CHANNEL)));
    two.shards.deliver_all();
    assert_eq!(two.send_from_one(), Some(straight_to(&two.other, OTHER_CHANNEL)));
}

#[test]
fn whichever_binds_first() {
    let mut two = Two::new();
    two.bind_other();
    two.shards.deliver_all();
    assert_eq!(two.shards.relays[0].flows.len(), 0);
    two.bind_one();
    assert_eq!(two.send_from_one(), Some(straight_to(&two.other, OTHER_CHANNEL)));
    assert_eq!(flows(&two.shards.relays[0]), [flow(two.near(), two.far())]);
}

#[test]
fn other_shards_hear_of_a_channel_before_its_client_does() {
    let mut two = Two::new();
    two.shards.relays[1].recorded = Some(Vec::new());
    two.bind_other();
    two.shards.relays[1].granted(&mut two.other, &delete());
    let outputs = two.shards.relays[1].recorded.take().unwrap();
    let told = outputs.iter().filter_map(|output| match output {
        Output::TellShards(ShardMessage::CrossingOpened(_)) => Some("opened"),
        Output::TellShards(ShardMessage::CrossingClosed(_)) => Some("closed"),
        Output::Transmit { .. } => Some("answer"),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), ["opened", "answer", "closed", "answer"]);
}

/// A way in which a crossing ends: its name, and the action.
type End = (&'static str, fn(&mut Two));

#[test]
fn a_crossing_ends_with_its_channel_and_the_next_allocation_of_the_port_has_none() {
    let ends: [End; 4] = [
        ("its allocation is deleted", |two| {
            two.shards.relays[1].granted(&mut two.other, &delete());
        }),
        ("the socket of its allocation fails", |two| {
            let id = two.shards.relays[1].server.allocations().next().unwrap().id();
            two.shards.relays[1].server.handle_relay_failed(id);
            two.shards.relays[1].drain();
        }),
        ("its allocation expires", |two| {
            two.shards.relays[0].granted(&mut two.one, &refresh().with_lifetime(3600));
            two.shards.advance_secs(599);
            two.bind_one();
            two.shards.advance_secs(1);
        }),
        ("its username moves", |two| {
            let user_id = two.other.socket.to_string().into();
            let created_at = two.shards.relays[1].now + std::time::Duration::from_nanos(1);
            two.shards.relays[1].hear(&ShardMessage::UsernameMoved { user_id, created_at });
        }),
    ];
    for (how, end) in ends {
        let mut two = Two::bound();
        end(&mut two);
        two.shards.deliver_all();
        assert_eq!(two.send_through_sockets(), None, "{how}");
        assert_eq!(two.shards.relays[1].take_drops(), [DropReason::UnknownPort], "{how}");
        let mut next = Client::new("198.51.100.8:50000");
        assert_eq!(two.shards.relays[1].allocate(&mut next), two.at_other);
        two.shards.deliver_all();
        assert_eq!(two.send_through_sockets(), None, "{how}");
        assert_eq!(two.shards.relays[1].take_drops(), [DropReason::UnknownPeer], "{how}");
        // There is a crossing once the new client binds a channel.
        two.shards.relays[1].granted(&mut next, &bind(0x4FFF, two.at_one));
        two.shards.deliver_all();
        assert_eq!(two.send_from_one(), Some(straight_to(&next, 0x4FFF)), "{how}");
    }
}

#[test]
fn a_crossing_ends_when_its_channel_lapses_and_begins_again_with_it() {
    let mut two = Two::bound();
    two.shards.relays[0].granted(&mut two.one, &refresh().with_lifetime(3600));
    two.shards.relays[1].granted(&mut two.other, &refresh().with_lifetime(3600));
    two.shards.advance_secs(599);
    two.bind_one();
    two.shards.advance_secs(1);
    two.shards.deliver_all();
    assert_eq!(two.send_through_sockets(), None);
    assert_eq!(two.send_from_other(), None, "its own channel has lapsed");
    two.bind_other();
    two.shards.deliver_all();
    assert_eq!(two.send_from_one(), Some(straight_to(&two.other, OTHER_CHANNEL)));
    assert_eq!(two.send_from_other(), Some(straight_to(&two.one, CHANNEL)));
    assert_eq!(two.shards.relays.iter().map(|relay| relay.flows.len()).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn a_refreshed_channel_is_no_news() {
    let mut two = Two::bound();
    two.bind_other();
    two.shards.post();
    assert!(!two.shards.under_way_to(0).any(|message| matches!(message, ShardMessage::CrossingOpened(_))));
}

#[test]
fn one_family_of_a_crossing_ends_alone() {
    let mut shards = Shards::new(2, 1, |_| ());
    let (mut one, mut other) = (Client::new("198.51.100.7:50000"), Client::new("[2001:db8:7::5]:61000"));
    let at_one = shards.relays[0].granted(&mut one, &allocate_dual_stack()).relayed();
    let at_other = shards.relays[1].granted(&mut other, &allocate_dual_stack()).relayed();
    for (index, number) in [0x4000, 0x4001].into_iter().enumerate() {
        shards.relays[0].granted(&mut one, &bind(number, at_other[index]));
        shards.relays[1].granted(&mut other, &bind(number, at_one[index]));
    }
    shards.deliver_all();
    assert_eq!(shards.relays[0].flows.len(), 2);
    shards.relays[1].granted(&mut other, &delete().with_family(2));
    shards.deliver_all();
    let v4 = shards.relays[0].receive(&one, &channel_data(0x4000, b"hello"));
    let v6 = shards.relays[0].receive(&one, &channel_data(0x4001, b"hello"));
    assert_eq!(v4, Some(straight_to(&other, 0x4000)));
    assert_eq!(v6.map(|forward| forward.to), Some(at_other[1]));
    assert_eq!(flows(&shards.relays[0]), [flow((&one, 0x4000, at_one[0]), (&other, 0x4000, at_other[0]))]);
}

#[test]
fn a_borrowed_port_is_crossed_too() {
    // The port after that of `first` belongs to the same shard. Its client redeems the reservation on another shard.
    let mut shards = Shards::new(3, 2, |_| ());
    let named = |socket| Client::named(socket, "alice");
    let mut first = named("198.51.100.7:50000");
    let response = shards.relays[0].granted(&mut first, &allocate().with_even_port(true));
    let token = response.attribute(kind::RESERVATION_TOKEN).unwrap().to_vec();
    shards.deliver_all();
    let mut one = named("198.51.100.7:50001");
    let at_one = shards.relays[1].granted(&mut one, &allocate().with_token(&token)).relayed()[0];
    shards.deliver_all();
    assert_eq!(at_one.port(), Shards::LOWEST_PORT + 1);
    let mut other = Client::new("198.51.100.8:50000");
    let at_other = shards.relays[2].allocate(&mut other);
    shards.relays[1].granted(&mut one, &bind(CHANNEL, at_other));
    shards.relays[2].granted(&mut other, &bind(OTHER_CHANNEL, at_one));
    shards.deliver_all();
    let to_other = shards.relays[1].receive(&one, &channel_data(CHANNEL, b"hello"));
    let to_one = shards.relays[2].receive(&other, &channel_data(OTHER_CHANNEL, b"hello"));
    assert_eq!((to_other, to_one), (Some(straight_to(&other, OTHER_CHANNEL)), Some(straight_to(&one, CHANNEL))));

    shards.relays[1].granted(&mut one, &delete());
    shards.deliver_all();
    let forward = shards.relays[2].receive(&other, &channel_data(OTHER_CHANNEL, b"hello"));
    assert_eq!(forward.map(|forward| forward.to), Some(at_one));
}

/// The messages about a lent port come from its own shard and from the borrower, in any order.
#[test]
fn late_words_do_no_harm_to_a_ports_next_allocation() {
    let mut shards = Shards::new(2, 2, |_| ());
    let relay = &mut shards.relays[0];
    let (mut one, mut next) = (Client::new("198.51.100.7:50000"), Client::new("198.51.100.8:50000"));
    let gone = Client::new("198.51.100.9:50000");
    let at_one = relay.allocate(&mut one);
    let at_next = SocketAddr::new(at_one.ip(), at_one.port() ^ 1);
    let crossing = Crossing {
        family: Family::V4,
        from: AllocationPort::new(at_one.port()),
        to: AllocationPort::new(at_next.port()),
        five_tuple: gone.five_tuple(),
        channel: ChannelNumber::new(OTHER_CHANNEL).unwrap(),
    };
    relay.hear(&ShardMessage::CrossingOpened(crossing));
    relay.granted(&mut one, &bind(CHANNEL, at_next));
    assert_eq!(flows(relay), [flow((&one, CHANNEL, at_one), (&gone, OTHER_CHANNEL, at_next))]);

    assert_eq!(relay.allocate(&mut next), at_next);
    assert_eq!(relay.receive(&one, &channel_data(CHANNEL, b"hello")), None, "the next has not bound a channel");
    relay.granted(&mut next, &bind(0x4FFF, at_one));
    let ends = [(&one, CHANNEL, at_one), (&next, 0x4FFF, at_next)];
    let both = [(0, 1), (1, 0)].map(|(from, to)| flow(ends[from], ends[to]));
    assert_eq!(flows(relay), both);
    relay.hear(&ShardMessage::CrossingOpened(crossing));
    assert_eq!(flows(relay), both);
    relay.hear(&ShardMessage::CrossingClosed(crossing));
    assert_eq!(flows(relay), both);
    let forward = relay.receive(&one, &channel_data(CHANNEL, b"hello"));
    assert_eq!(forward, Some(straight_to(&next, 0x4FFF)));
}

#[test]
fn peers_that_no_allocation_can_be_are_nobodys_business() {
    let mut two = Two::of(Shards::new(2, 1, |config| config.username_limit = UsernameLimit::ReplaceOldest));
    let outside = "203.0.113.1:50000".parse().unwrap();
    let beyond = SocketAddr::new(two.at_one.ip(), 49_999);
    for (number, peer) in [(0x4000, outside), (0x4001, beyond)] {
        two.shards.relays[0].granted(&mut two.one, &bind(number, peer));
    }
    let is_crossing =
        |message: &ShardMessage| matches!(message, ShardMessage::CrossingOpened(_) | ShardMessage::CrossingClosed(_));
    assert!(!two.shards.relays[0].told.iter().any(|(_, message)| is_crossing(message)));

    // With one shard, no messages are sent.
    let mut relay = Relay::new();
    let (mut one, mut other) = (Client::new("198.51.100.7:50000"), Client::new("[2001:db8:7::5]:61000"));
    let (at_one, at_other) = (relay.allocate(&mut one), relay.allocate(&mut other));
    relay.granted(&mut one, &bind(CHANNEL, at_other));
    relay.granted(&mut other, &bind(OTHER_CHANNEL, at_one));
    relay.advance_secs(600);
    assert_eq!(relay.told, []);
}
