//! Liveness and readiness, for orchestrators.

use std::fmt::{self, Write as _};

use hyper::{Method, StatusCode};
use relay_server::{AddressStatus, AddressStatuses};

use super::http::{Answer, Ask, text, typed};
use crate::{
    addresses::AddressState,
    phase::Phase,
    portal::PortalState,
    shard::STUCK_AFTER,
    telemetry::{Observer, prometheus},
};

/// Why the relay must not get clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotReady {
    Starting,
    PortalUnreachable,
    Draining,
    Stuck,
    /// The public address of this IP version is missing.
    AddressMissing(u8),
    /// This machine has none of the public addresses' families.
    NoFamily,
    HasOutgrownLoopback,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "the relay does not serve yet",
            Self::PortalUnreachable => "the portal is out of reach; relaying goes on",
            Self::Draining => "the relay takes no new allocations because it is about to stop",
            Self::Stuck => "a worker is stuck",
            Self::AddressMissing(version) => {
                return write!(
                    f,
                    "the relay's IPv{version} address is not there; allocations that need it are refused"
                );
            }
            Self::NoFamily => "this machine has no address of the families that the relay is to serve",
            Self::HasOutgrownLoopback => {
                "the relay serves this machine alone, since there was no network when it started: start it again"
            }
        })
    }
}

/// Whether the relay has its public addresses.
fn reachability(addresses: &AddressState) -> Result<(), NotReady> {
    let AddressStatuses { v4, v6 } = addresses.statuses();
    for (status, version) in [(v4, 4), (v6, 6)] {
        if status == AddressStatus::Missing {
            return Err(NotReady::AddressMissing(version));
        }
    }
    // One working family is enough.
    if addresses.families().all(|family| family.status == AddressStatus::NoFamily) {
        return Err(NotReady::NoFamily);
    }
    if addresses.has_outgrown_loopback {
        return Err(NotReady::HasOutgrownLoopback);
    }
    Ok(())
}

/// Whether the relay may get clients.
pub(crate) fn readiness(
    phase: Phase,
    portal: Option<PortalState>,
    stuck: usize,
    addresses: &AddressState,
) -> Result<(), NotReady> {
    match (phase, portal) {
        (Phase::Draining | Phase::Stopping, _) => Err(NotReady::Draining),
        (Phase::Starting, _) | (_, Some(PortalState::Registering)) => Err(NotReady::Starting),
        (Phase::Serving, Some(PortalState::Partitioned)) => Err(NotReady::PortalUnreachable),
        (Phase::Serving, _) if stuck > 0 => Err(NotReady::Stuck),
        (Phase::Serving, _) => reachability(addresses),
    }
}

/// Answers a request to the health endpoint.
pub(crate) fn answer(observer: &Observer, ask: &Ask<'_>) -> Answer {
    match (ask.method, ask.path) {
        (&Method::GET | &Method::HEAD, "/healthz") => liveness(observer),
        (&Method::GET | &Method::HEAD, "/readyz") => {
            let stuck = observer.stuck_workers().count();
            match readiness(observer.phase(), observer.portal(), stuck, &observer.addresses()) {
                Ok(()) => text(StatusCode::OK, "ready\n"),
                Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")),
            }
        }
        (&Method::GET | &Method::HEAD, "/metrics") => {
            typed(StatusCode::OK, prometheus::CONTENT_TYPE, prometheus::render(&observer.snapshot()))
        }
        (_, "/healthz" | "/readyz" | "/metrics") => text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n"),
        _ => text(StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics\n"),
    }
}

fn liveness(observer: &Observer) -> Answer {
    let mut stuck = String::new();
    for worker in observer.stuck_workers() {
        // Writing to a string cannot fail.
        let _ = writeln!(stuck, "worker {worker} has given no sign of life for {} s", STUCK_AFTER.as_secs());
    }
    if stuck.is_empty() { text(StatusCode::OK, "alive\n") } else { text(StatusCode::SERVICE_UNAVAILABLE, stuck) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::FamilyState;

    #[test]
    fn a_relay_is_ready_while_it_serves_and_the_portal_knows_it() {
        use PortalState::{Partitioned, Registered, Registering};
        for (phase, portal, stuck, expected) in [
            (Phase::Starting, None, 0, Err(NotReady::Starting)),
            (Phase::Starting, Some(Registered), 0, Err(NotReady::Starting)),
            (Phase::Serving, None, 0, Ok(())),
            (Phase::Serving, Some(Registered), 0, Ok(())),
            (Phase::Serving, Some(Registering), 0, Err(NotReady::Starting)),
            (Phase::Serving, Some(Partitioned), 0, Err(NotReady::PortalUnreachable)),
            (Phase::Serving, None, 1, Err(NotReady::Stuck)),
            (Phase::Draining, Some(Registered), 0, Err(NotReady::Draining)),
            (Phase::Draining, None, 0, Err(NotReady::Draining)),
            (Phase::Stopping, None, 0, Err(NotReady::Draining)),
        ] {
            assert_eq!(readiness(phase, portal, stuck, &present()), expected, "{phase:?} {portal:?} {stuck}");
        }
    }

    /// The state of a relay that has its addresses in both families.
    fn present() -> AddressState {
        let family = |address: &str| {
            let address = address.parse().unwrap();
            let status = AddressStatus::Present;
            Some(FamilyState { public: address, relay: address, source: None, local: address, status })
        };
        AddressState { v4: family("192.0.2.7"), v6: family("2001:db8::7"), ..AddressState::default() }
    }

    #[test]
    fn a_relay_whose_address_is_away_is_not_ready() {
        use AddressStatus::{Missing, NoFamily, Present};
        for (v4, v6, expected) in [
            (Present, Present, Ok(())),
            (Missing, Present, Err(NotReady::AddressMissing(4))),
            (Present, Missing, Err(NotReady::AddressMissing(6))),
            (Missing, NoFamily, Err(NotReady::AddressMissing(4))),
            (Present, NoFamily, Ok(())),
            (NoFamily, NoFamily, Err(NotReady::NoFamily)),
        ] {
            let mut addresses = present();
            addresses.v4.as_mut().unwrap().status = v4;
            addresses.v6.as_mut().unwrap().status = v6;
            assert_eq!(readiness(Phase::Serving, None, 0, &addresses), expected, "{v4:?} {v6:?}");
        }
        let outgrown = AddressState { has_outgrown_loopback: true, ..present() };
        assert_eq!(readiness(Phase::Serving, None, 0, &outgrown), Err(NotReady::HasOutgrownLoopback));
    }
}
