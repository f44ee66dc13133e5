use std::{hint::black_box, time::Duration};

use crate::{
    Relay,
    relay::{
        Ended,
        client::{self, Client},
    },
};

/// Something that a relay does, again and again.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What it is called.
    pub name: &'static str,
    /// Does it once.
    pub run: fn(&mut Relay),
}

/// Something that happens to each client once, since time goes on.
#[derive(Clone, Copy, Debug)]
pub struct Expiry {
    /// What it is called.
    pub name: &'static str,
    /// Lets it happen to the next client.
    pub run: fn(&mut Relay),
    /// The lifetime of the allocations.
    lifetime: Duration,
}

impl Expiry {
    /// A relay with `count` clients to whom it has yet to happen.
    ///
    /// # Errors
    ///
    /// When a client could not set up.
    pub fn relay(&self, count: usize) -> anyhow::Result<Relay> {
        Relay::with_clients_in_turn(count, self.lifetime)
    }
}

/// What time does. Each allocation has a channel, as those of clients that relay have.
pub const EXPIRIES: &[Expiry] = &[
    Expiry { name: "expiry of an allocation and its channel", run: allocation_expires, lifetime: TEN_MINUTES },
    Expiry { name: "expiry of a channel", run: channel_expires, lifetime: HOUR },
];

/// As long as a channel lives, and the longest that an allocation does without being refreshed.
const TEN_MINUTES: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3600);

fn allocation_expires(relay: &mut Relay) {
    assert_eq!(relay.wait(), Ended { allocations: 1, channels: 0 });
}

fn channel_expires(relay: &mut Relay) {
    assert_eq!(relay.wait(), Ended { allocations: 0, channels: 1 });
}

/// Everything that is measured and can be done again and again.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "channel data to the peer", run: to_peer },
    Scenario { name: "data to the client", run: to_client },
    Scenario { name: "data to the client, with its header", run: to_client_with_header },
    Scenario { name: "send indication to the peer", run: send_to_peer },
    Scenario { name: "send indication with fingerprint to the peer", run: send_with_fingerprint_to_peer },
    Scenario { name: "data indication to the client", run: indication_to_client },
    Scenario { name: "channel data of 32 clients to their peers", run: batch_to_peers },
    Scenario { name: "data to 32 clients", run: batch_to_clients },
    Scenario { name: "refresh, from parsing to the signed response", run: refresh },
    Scenario { name: "channel bind, from parsing to the signed response", run: bind },
    Scenario { name: "allocate and delete, to the signed responses", run: allocate_and_delete },
    Scenario { name: "challenge of an unauthenticated request", run: challenge },
    Scenario { name: "binding request", run: binding },
    Scenario { name: "parse and classify a signed request", run: parse },
    Scenario { name: "poll_timeout", run: poll_timeout },
];

fn to_peer(relay: &mut Relay) {
    let index = relay.next();
    assert!(relay.sends_data(index));
}

fn to_client(relay: &mut Relay) {
    let index = relay.next();
    assert!(relay.receive_from_peer(index, black_box(&[7; 200])));
}

/// As that of a Data indication does, whose header is most of it.
fn to_client_with_header(relay: &mut Relay) {
    let index = relay.next();
    assert!(relay.receive_with_header(index, black_box(&[7; 200])));
}

fn send_to_peer(relay: &mut Relay) {
    let index = relay.next();
    assert!(relay.sends_indication(index, false));
}

fn send_with_fingerprint_to_peer(relay: &mut Relay) {
    let index = relay.next();
    assert!(relay.sends_indication(index, true));
}

fn indication_to_client(relay: &mut Relay) {
    let index = relay.next();
    assert!(relay.receive_indication(index, black_box(&[7; 200])));
}

/// As a relay does what it has received at once. Times and counts are those of all of it.
const BATCH: usize = 32;

fn batch_to_peers(relay: &mut Relay) {
    let batch = relay.next_batch::<BATCH>();
    for index in batch {
        assert!(relay.sends_data(index));
    }
}

fn batch_to_clients(relay: &mut Relay) {
    let batch = relay.next_batch::<BATCH>();
    for index in batch {
        assert!(relay.receive_from_peer(index, black_box(&[7; 200])));
    }
}

fn refresh(relay: &mut Relay) {
    let index = relay.next();
    relay.sends(index, Client::refresh);
    succeeds(relay);
}

fn bind(relay: &mut Relay) {
    let index = relay.next();
    relay.sends(index, Client::bind);
    succeeds(relay);
}

/// Both, or there would be ever more allocations.
fn allocate_and_delete(relay: &mut Relay) {
    relay.newcomer_sends(|newcomer| &newcomer.allocate);
    succeeds(relay);
    relay.newcomer_sends(|newcomer| &newcomer.delete);
    succeeds(relay);
}

/// The relay has one success response to send.
fn succeeds(relay: &mut Relay) {
    let mut successes = 0;
    // The class of a success response.
    relay.answer(|response| successes += usize::from(response[0] == 0x01 && response[1] & 0x10 == 0));
    assert_eq!(successes, 1);
}

fn challenge(relay: &mut Relay) {
    let mut request = REQUEST;
    // Allocate.
    request[1] = 0x03;
    ask(relay, &request);
}

fn binding(relay: &mut Relay) {
    ask(relay, &REQUEST);
}

fn ask(relay: &mut Relay, request: &[u8]) {
    let index = relay.next();
    relay.receive_from_client(relay.machine_of(index), client::address(index), black_box(request));
    let mut responses = 0;
    relay.answer(|_| responses += 1);
    assert_eq!(responses, 1);
}

fn parse(relay: &mut Relay) {
    let index = relay.next();
    let datagram = relay.client(index).refresh();
    assert!(matches!(stun_msg::classify(black_box(datagram)), Ok(stun_msg::Classified::Stun)));
    assert!(stun_msg::Message::parse(datagram).is_ok_and(|message| message.request().is_ok()));
}

fn poll_timeout(relay: &mut Relay) {
    assert!(black_box(relay.poll_timeout()).is_some());
}

/// A Binding request without attributes.
const REQUEST: [u8; 20] = [0x00, 0x01, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_runs() {
        let mut relay = Relay::with_clients(3).unwrap();
        for scenario in SCENARIOS {
            for _ in 0..10 {
                (scenario.run)(&mut relay);
            }
        }
        for expiry in EXPIRIES {
            let mut relay = expiry.relay(10).unwrap();
            (0..10).for_each(|_| (expiry.run)(&mut relay));
        }
    }

    #[test]
    fn clients_beyond_one_machines_have_another() {
        let mut relay = Relay::new(10, 4, Duration::ZERO, None).unwrap();
        assert_eq!([0, 1, 2, 3].map(|index| relay.machine_of(index)), [0, 1, 2, 0]);
        for scenario in SCENARIOS {
            (0..10).for_each(|_| (scenario.run)(&mut relay));
        }
    }
}
