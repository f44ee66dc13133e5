//! Replays the state machine's inputs other than packets.

use packet_trace::{Input, InputRecord, RelayOpened};
use relay_server::{
    AddressStatus, AddressStatuses, AllocationPort, Icmp, Output, OwnAddresses, PeerSocket, RelayOpenError, Timestamp,
    UnixTime,
};

use super::Replay;
use crate::{
    Change, DifferenceKind, NotReplayed, peer_policy,
    shard_message::{family_of, shard_message},
    timeline::Timeline,
};

impl Replay {
    /// Replays an input, unless it cannot be replayed. Nothing after it can be, either.
    pub(crate) fn input(&mut self, timeline: &mut Timeline, record: &InputRecord) -> Result<(), NotReplayed> {
        let now = Timestamp::from_nanos(self.clock.to_monotonic(record.unix_nanos));
        let Some(shard) = self.shard(record.shard)? else { return Ok(()) };
        let mut cause = None;
        match &record.input {
            Input::QuotaClaimed { id, is_granted, .. } => {
                let Some((id_found, holder, request)) = shard.claiming.remove(id) else {
                    let row = timeline.internal(record.shard, record.unix_nanos);
                    let text =
                        format!("allocation {id} was counted for its user, which the replayed relay did not ask for");
                    timeline.difference(row, DifferenceKind::Input, text);
                    return Ok(());
                };
                cause = Some(request);
                shard.server.handle_quota_claimed(now, id_found, holder, *is_granted);
            }
            Input::RelayOpened { id, family, result } => {
                if let Some((id_found, holder, request)) = shard.claiming.remove(id) {
                    // Relays of older versions did not claim quotas.
                    shard.server.handle_quota_claimed(now, id_found, holder, true);
                    let outputs = shard.outputs();
                    shard.take(timeline, Some(request), outputs);
                }
                let Some(&(id_found, request)) = shard.opening.get(id) else {
                    let row = timeline.internal(record.shard, record.unix_nanos);
                    let text = format!(
                        "a relay socket was opened for allocation {id}, for which the replayed relay asked for none"
                    );
                    timeline.difference(row, DifferenceKind::Input, text);
                    return Ok(());
                };
                cause = Some(request);
                let result = match result {
                    RelayOpened::Ok => Ok(()),
                    RelayOpened::PortInUse => Err(RelayOpenError::PortInUse),
                    RelayOpened::OwnClient => Err(RelayOpenError::OwnClient),
                    RelayOpened::Failed => Err(RelayOpenError::Failed),
                };
                shard.server.handle_relay_opened(now, id_found, family_of(*family), result);
            }
            Input::RelayFailed { id } => {
                if let Some(id) = shard.allocation_id(*id) {
                    shard.server.handle_relay_failed(id);
                }
            }
            Input::Icmp { port, peer, icmp_type, code, error_data } => {
                let icmp = Icmp { icmp_type: *icmp_type, code: *code, error_data: *error_data };
                shard.server.handle_icmp(now, AllocationPort::new(*port), PeerSocket::new(*peer), icmp);
            }
            Input::CredentialsAccepted { credentials: None } if !shard.with_secret => {
                // The relay may answer even a request without credentials otherwise.
                return Err(NotReplayed::SecretNeeded { packet: timeline.len().saturating_add(1) });
            }
            Input::CredentialsAccepted { credentials } => {
                if let Some(Ok(accepted)) = credentials.as_ref().map(super::credentials::read) {
                    shard.server.handle_accepted_credentials(accepted);
                }
            }
            Input::ResponseWithheld { to } => shard.withheld(*to),
            Input::OwnAddresses { own, v4, v6 } => shard.server.handle_own_addresses(OwnAddresses {
                own: own.clone(),
                status: AddressStatuses { v4: status_of(*v4), v6: status_of(*v6) },
            }),
            Input::PeerPolicy(policy) => {
                if let Ok(policy) = peer_policy::read(policy) {
                    shard.server.handle_peer_policy(policy);
                }
            }
            Input::Drain => {
                shard.server.handle_drain();
                timeline.internal(record.shard, record.unix_nanos);
                timeline.change(Change::Draining);
            }
            Input::WallClock { unix_seconds } => shard.server.handle_wall_clock(now, UnixTime(*unix_seconds)),
            Input::Timeout => shard.server.handle_timeout(now),
            input => {
                if let Some(message) = shard_message(input) {
                    shard.server.handle_shard_message(now, &message);
                }
            }
        }
        let outputs = shard.outputs();
        let has_events = outputs.iter().any(|output| matches!(output, Output::Event(_)));
        if has_events && !cause.is_some_and(|row| timeline.is_last(row)) {
            let row = timeline.internal(record.shard, record.unix_nanos);
            if let (Some(cause), Some(row)) = (cause, timeline.row_mut(row)) {
                row.related = cause;
            }
        }
        shard.take(timeline, cause, outputs);
        Ok(())
    }
}

const fn status_of(status: packet_trace::AddressStatus) -> AddressStatus {
    match status {
        packet_trace::AddressStatus::Present => AddressStatus::Present,
        packet_trace::AddressStatus::Missing => AddressStatus::Missing,
        packet_trace::AddressStatus::NoFamily => AddressStatus::NoFamily,
    }
}
