//! Carries datagrams through a world's relay, and records them.

use std::net::SocketAddr;

use packet_trace::{Datagram, Direction, Input, IpFamily, RelayOpened};
use relay_server::{ClientSocket, Family, FiveTuple, Forward, Output, Via};

use super::{LISTEN_PORT, RELAY_V4, RELAY_V6, WORK, World};

/// A datagram that the relay sends to a client: its destination and its bytes.
type Sent = (SocketAddr, Vec<u8>);

impl World {
    pub(super) fn deliver(&mut self, from: SocketAddr, datagram: &[u8]) -> Vec<Sent> {
        let to = listener(from);
        self.record(Direction::Inbound, from, to, datagram);
        let five_tuple = FiveTuple { client: ClientSocket::new(from), server: to.ip() };
        let now = self.timestamp();
        let forward = self.server.handle_client_datagram(now, five_tuple, datagram);
        let sent = self.respond();
        if let Some(forward) = forward {
            self.forward(&forward, datagram);
        }
        sent
    }

    pub(super) fn forward(&mut self, forward: &Forward, datagram: &[u8]) {
        let bytes = forward.to_vec(datagram);
        let from = match forward.from {
            Via::Listener(address) => SocketAddr::new(address, LISTEN_PORT),
            Via::Relay(port) => SocketAddr::new(listener(forward.to).ip(), port.get()),
        };
        self.now += WORK;
        self.record(Direction::Outbound, from, forward.to, &bytes);
    }

    /// Carries out the relay's outputs. Returns the datagrams that it sent.
    pub(super) fn respond(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Transmit { from, to, bytes } => {
                    self.now += WORK;
                    self.record(Direction::Outbound, SocketAddr::new(from, LISTEN_PORT), to.address(), &bytes);
                    sent.push((to.address(), bytes));
                }
                Output::OpenRelay { id, family, .. } => {
                    let recorded = match family {
                        Family::V4 => IpFamily::V4,
                        Family::V6 => IpFamily::V6,
                    };
                    let input = Input::RelayOpened { id: id.as_u64(), family: recorded, result: RelayOpened::Ok };
                    self.record_input(input);
                    let now = self.timestamp();
                    self.server.handle_relay_opened(now, id, family, Ok(()));
                }
                _ => {}
            }
        }
        sent
    }

    pub(super) fn record(&mut self, direction: Direction, source: SocketAddr, destination: SocketAddr, payload: &[u8]) {
        let datagram = Datagram { source, destination, payload };
        // Without limits, and with both addresses of the same family, writing cannot fail.
        let _written = self.writer.packet(0, self.now, direction, datagram, &mut self.out);
    }

    pub(super) fn record_input(&mut self, input: Input) {
        let _written = self.writer.input(0, self.now, input, &mut self.out);
    }
}

/// The relay's listening address of the family of `remote`.
fn listener(remote: SocketAddr) -> SocketAddr {
    let address = if remote.is_ipv4() { RELAY_V4 } else { RELAY_V6 };
    SocketAddr::new(address.parse().unwrap_or(remote.ip()), LISTEN_PORT)
}
