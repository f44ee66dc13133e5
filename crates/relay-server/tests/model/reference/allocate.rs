//! Allocate requests, and the opening of their sockets.

use std::time::Duration;

use relay_server::{Family, FiveTuple, RelayOpenError, Timestamp, UsernameLimit};

use super::{Allocation, PortKind, Reference};
use crate::{cast, op::AllocateOp};

/// The expected result of an Allocate request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Refuse(u16),
    /// A retransmission of an answered request: the same response again.
    Repeat,
    /// A retransmission of a request that is not answered yet.
    Ignore,
    /// A port of this kind is opened in these families.
    Open(PortKind, Vec<Family>),
}

/// The expected step after the result of opening a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    AnotherPort(PortKind),
    NextFamily(Family),
    /// The success response.
    Done(FiveTuple),
}

impl Reference {
    /// RFC 8656, section 7.2. `token` is the RESERVATION-TOKEN in the request.
    pub(crate) fn judge_allocate(
        &mut self,
        client: usize,
        user: usize,
        transaction: [u8; 12],
        request: &AllocateOp,
        token: Option<[u8; 8]>,
    ) -> Verdict {
        use Verdict::{Ignore, Open, Refuse, Repeat};

        let five_tuple = cast::client(client).five_tuple();
        if client == cast::TEREDO_CLIENT {
            return Refuse(403);
        }
        if let Some(existing) = self.find(five_tuple) {
            return match (existing.transaction == transaction && existing.user == user, &existing.opening) {
                (false, _) => Refuse(437),
                (true, Some(_)) => Ignore,
                (true, None) => Repeat,
            };
        }
        match request.transport {
            None => return Refuse(400),
            Some(17) => {}
            Some(_) => return Refuse(442),
        }
        if request.dont_fragment && !(self.config.dont_fragment && self.config.indications) {
            return Refuse(420);
        }
        let families = if token.is_some() {
            if request.even_port.is_some() || request.family.is_some() || request.additional.is_some() {
                return Refuse(400);
            }
            Vec::new()
        } else {
            if request.family.is_some() && request.additional.is_some() || request.additional == Some(1) {
                return Refuse(400);
            }
            let wanted: &[Family] = match (request.family, request.additional) {
                (None | Some(1), None) => &[Family::V4],
                (Some(2), None) => &[Family::V6],
                (_, Some(_)) => &[Family::V4, Family::V6],
                (Some(_), None) => return Refuse(440),
            };
            let offered = wanted.iter().filter(|family| self.config.relay_addresses.of(**family).is_some());
            let offered: Vec<Family> = offered.copied().collect();
            if offered.is_empty() {
                return Refuse(440);
            }
            if request.even_port == Some(true) && request.additional.is_some() {
                return Refuse(400);
            }
            offered
        };
        let held = self.allocations.iter().filter(|allocation| self.is_same_user(allocation.user, user)).count();
        if let UsernameLimit::RefuseBeyond(limit) = self.config.username_limit
            && self.config.unlimited_user != Some(self.user_id(user).into())
            && held >= limit as usize
        {
            return Refuse(486);
        }
        if let Some(token) = token {
            let found = self
                .reservations
                .iter()
                .position(|held| held.token == Some(token) && self.is_same_user(held.user, user));
            let Some(found) = found else { return Refuse(508) };
            let reservation = self.reservations.remove(found);
            return Open(PortKind::Reserved(reservation.port), reservation.families);
        }
        let kind = match request.even_port {
            None => PortKind::Any,
            Some(false) => PortKind::Even,
            Some(true) => PortKind::Pair,
        };
        let reserved = self.reservations.iter().filter(|held| self.is_same_user(held.user, user)).count();
        if kind == PortKind::Pair && reserved >= 10 {
            return Refuse(486);
        }
        if self.free_ports(kind).is_empty() {
            return Refuse(508);
        }
        Open(kind, families)
    }

    /// The ports of this kind that may be drawn.
    pub(crate) fn free_ports(&self, kind: PortKind) -> Vec<u16> {
        let range = self.config.ports.lowest()..=self.config.ports.highest();
        let free = |port: u16| {
            range.contains(&port)
                && !self.allocations.iter().any(|allocation| allocation.port == port)
                && !self.reservations.iter().any(|reservation| reservation.port == port)
                && !self.held_ports.iter().any(|(held, _)| *held == port)
        };
        match kind {
            PortKind::Any => range.clone().filter(|port| free(*port)).collect(),
            PortKind::Even => range.clone().filter(|port| port % 2 == 0 && free(*port)).collect(),
            PortKind::Pair => range.clone().filter(|port| port % 2 == 0 && free(*port) && free(port + 1)).collect(),
            PortKind::Reserved(_) => Vec::new(),
        }
    }

    /// Handles the result of opening a socket. Returns the error code if the request is refused.
    pub(crate) fn opened(
        &mut self,
        now: Timestamp,
        port: u16,
        family: Family,
        result: Result<(), RelayOpenError>,
    ) -> Result<Step, u16> {
        let index = self.allocations.iter().position(|allocation| allocation.port == port).unwrap();
        let allocation = &mut self.allocations[index];
        let opening = allocation.opening.as_mut().unwrap();
        match result {
            Ok(()) => opening.opened.push(family),
            Err(RelayOpenError::PortInUse) => {
                opening.opened.clear();
                opening.ports_tried += 1;
                let (kind, ports_tried) = (opening.kind, opening.ports_tried);
                if kind == PortKind::Pair {
                    self.reservations.retain(|reservation| reservation.port != port + 1);
                }
                self.held_ports.push((port, now + Duration::from_secs(60)));
                if ports_tried == 16 || self.free_ports(kind).is_empty() {
                    self.allocations.remove(index);
                    return Err(508);
                }
                return Ok(Step::AnotherPort(kind));
            }
            Err(_) if allocation.families.len() == 2 => allocation.families.retain(|(other, _)| *other != family),
            Err(_) => {
                self.allocations.remove(index);
                return Err(508);
            }
        }
        let allocation = &mut self.allocations[index];
        let opened = &allocation.opening.as_ref().unwrap().opened;
        if let Some(next) = allocation.family_list().into_iter().find(|family| !opened.contains(family)) {
            return Ok(Step::NextFamily(next));
        }
        allocation.opening = None;
        let (user, five_tuple) = (allocation.user, allocation.five_tuple);
        if self.config.username_limit == UsernameLimit::ReplaceOldest {
            let is_replaced =
                |other: &Allocation| self.is_same_user(other.user, user) && other.five_tuple != five_tuple;
            let kept = self.allocations.iter().filter(|other| !is_replaced(other)).cloned().collect();
            self.allocations = kept;
        }
        Ok(Step::Done(five_tuple))
    }
}
