//! Opening of allocations: sockets are opened, or fail.

use std::{net::SocketAddr, time::Duration};

use relay_server::{Family, FiveTuple, RelayOpenError};

use super::{AllocateMessage, Pair};
use crate::{
    op::{AllocateOp, Sockets},
    reference::{Allocation, Opening, PortKind, Reservation, Step},
    support::{Request, Response, kind, method},
};

impl Pair {
    /// Adds an allocation for which the relay opens a socket. The relay may choose any free port.
    pub(super) fn begin(
        &mut self,
        client: usize,
        &AllocateMessage { user, transaction, ref request, .. }: &AllocateMessage,
        (port_kind, families): (PortKind, Vec<Family>),
        (port, family): (u16, Family),
    ) {
        match port_kind {
            PortKind::Reserved(reserved) => assert_eq!(port, reserved),
            _ => assert!(self.reference.free_ports(port_kind).contains(&port), "{port} is not free for {port_kind:?}"),
        }
        assert_eq!(family, families[0]);
        let now = self.relay.now;
        let lifetime = Duration::from_secs(request.lifetime.unwrap_or(600).clamp(600, 3600).into());
        self.reference.allocations.push(Allocation {
            five_tuple: self.clients[client].five_tuple(),
            user,
            transaction,
            port,
            families: families.iter().map(|family| (*family, now + lifetime)).collect(),
            lifetime,
            channels: Vec::new(),
            permissions: Vec::new(),
            remembered: Vec::new(),
            dual: request.additional.is_some(),
            first_of_pair: port_kind == PortKind::Pair,
            token: None,
            opening: Some(Opening { kind: port_kind, opened: Vec::new(), ports_tried: 0 }),
        });
        self.reserve(port_kind, user, families, port);
    }

    /// Applies the results of opening to the sockets of the last Allocate.
    pub(super) fn settle(&mut self, client: usize, sockets: Sockets) {
        let five_tuple = self.clients[client].five_tuple();
        let mut results = sockets.results.into_iter();
        // At most 16 ports in two families, and a few more.
        for _ in 0..40 {
            let port = self.reference.find(five_tuple).map(|allocation| allocation.port);
            let asked = self.relay.pending.iter().position(|(_, asked, _)| Some(asked.get()) == port);
            let (Some(index), Some(result)) = (asked, results.next().or(sockets.complete.then_some(Ok(())))) else {
                return;
            };
            self.open(index, result);
        }
        panic!("the relay goes on asking for sockets");
    }

    /// Applies one result of opening.
    pub(super) fn open(&mut self, index: usize, result: Result<(), RelayOpenError>) {
        let (id, port, family) = self.relay.pending[index];
        let Some(asker) = self.reference.by_port(port.get()) else {
            // The allocation expired before its socket was open.
            return self.relay.open(index, result);
        };
        let (client, user, families) = (asker.five_tuple, asker.user, asker.family_list());
        self.relay.open(index, result);
        let response = self.relay.take_sent();
        if let Some(sent) = &response {
            assert_eq!((sent.to, sent.from), (client.client.address(), client.server));
        }
        let response = response.map(|sent| sent.response);
        let next = self.relay.pending.iter().find(|(next, ..)| *next == id).copied();
        match self.reference.opened(self.relay.now, port.get(), family, result) {
            Err(code) => {
                assert_eq!(response.expect("a refusal").outcome(), Err(code));
                assert_eq!(next, None);
            }
            Ok(Step::NextFamily(family)) => {
                assert_eq!(response, None);
                assert_eq!(next.map(|(_, port, family)| (port, family)), Some((port, family)));
            }
            Ok(Step::AnotherPort(port_kind)) => {
                assert_eq!(response, None);
                let (_, another, family) = next.expect("another socket is asked for");
                assert!(self.reference.free_ports(port_kind).contains(&another.get()), "{another} for {port_kind:?}");
                assert_eq!(family, families[0]);
                self.reference.find(client).unwrap().port = another.get();
                self.reserve(port_kind, user, families, another.get());
            }
            Ok(Step::Done(five_tuple)) => {
                let response = response.expect("success");
                let token = response.attribute(kind::RESERVATION_TOKEN).map(|token| token.try_into().unwrap());
                self.learn_token(five_tuple, token);
                self.check_success(&response, five_tuple);
            }
        }
    }

    /// Checks the success response of an Allocate.
    pub(super) fn check_success(&mut self, response: &Response, five_tuple: FiveTuple) {
        let addresses = self.reference.config.relay_addresses;
        let allocation = self.reference.find(five_tuple).unwrap();
        assert_eq!(response.outcome(), Ok(()));
        let families = allocation.family_list();
        let relayed = families.iter().map(|family| SocketAddr::new(addresses.of(*family).unwrap(), allocation.port));
        assert_eq!(response.relayed(), relayed.collect::<Vec<_>>());
        assert_eq!(response.addresses(kind::XOR_MAPPED_ADDRESS), [five_tuple.client.address()]);
        assert_eq!(response.lifetime().map(u64::from), Some(allocation.lifetime.as_secs()));
        assert_eq!(
            response.attribute(kind::RESERVATION_TOKEN),
            allocation.token.as_ref().map(|token| token.as_slice())
        );
        let missing = [(Family::V4, 1), (Family::V6, 2)].into_iter().find(|(family, _)| !families.contains(family));
        let missing = missing.filter(|_| allocation.dual);
        let code = |family| if addresses.of(family).is_some() { 508 } else { 440 };
        assert_eq!(response.address_error(), missing.map(|(family, number)| (number, code(family))));
    }

    fn reserve(&mut self, port_kind: PortKind, user: usize, families: Vec<Family>, port: u16) {
        if port_kind == PortKind::Pair {
            let until = self.relay.now + Duration::from_secs(30);
            self.reference.reservations.push(Reservation { port: port + 1, user, families, until, token: None });
        }
    }

    fn learn_token(&mut self, five_tuple: FiveTuple, token: Option<[u8; 8]>) {
        let allocation = self.reference.find(five_tuple).unwrap();
        assert_eq!(token.is_some(), allocation.first_of_pair);
        let Some(token) = token else { return };
        allocation.token = Some(token);
        let port = allocation.port + 1;
        self.tokens.push(token);
        if let Some(reservation) = self.reference.reservations.iter_mut().find(|reservation| reservation.port == port) {
            reservation.token = Some(token);
        }
    }
}

/// The request without credentials.
pub(super) fn allocate_request(request: &AllocateOp, token: Option<[u8; 8]>) -> Request {
    let mut message = Request::new(method::ALLOCATE);
    if let Some(protocol) = request.transport {
        message = message.with(kind::REQUESTED_TRANSPORT, &[protocol, 0, 0, 0]);
    }
    if let Some(seconds) = request.lifetime {
        message = message.with_lifetime(seconds);
    }
    if request.dont_fragment {
        message = message.with(kind::DONT_FRAGMENT, &[]);
    }
    if let Some(reserve_next) = request.even_port {
        message = message.with_even_port(reserve_next);
    }
    if let Some(token) = token {
        message = message.with_token(&token);
    }
    if let Some(family) = request.family {
        message = message.with_family(family);
    }
    if let Some(family) = request.additional {
        message = message.with_additional_family(family);
    }
    message
}
