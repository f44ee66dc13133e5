use std::hint::black_box;

use crate::{Relay, client::Client};

/// Something that a relay does, again and again.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What it is called.
    pub name: &'static str,
    /// Does it once.
    pub run: fn(&mut Relay),
}

/// Everything that is measured.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "channel data to the peer", run: to_peer },
    Scenario { name: "data to the client", run: to_client },
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
    assert!(relay.sends(index, |client| &client.data));
}

fn to_client(relay: &mut Relay) {
    let index = relay.next();
    let port = relay.client(index).port;
    assert!(relay.receive_from_peer(port, black_box(&[7; 200])));
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
    let address = relay.client(index).address;
    relay.receive_from_client(address, black_box(request));
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
    }
}
