//! What the state machine was told besides packets.

use packet_trace::{Input, InputRecord, IpFamily, RelayOpened};
use relay_server::{
    AddressStatus, AddressStatuses, AllocationPort, ChannelNumber, ClientSocket, Crossing, Families, Family, FiveTuple,
    Output, OwnAddresses, RelayOpenError, ReservationToken, ReservedPort, Timestamp, UnixTime,
};

use super::Replay;
use crate::{Change, DifferenceKind, book::Book};

impl Replay {
    pub(crate) fn input(&mut self, book: &mut Book, record: &InputRecord) {
        let now = Timestamp::from_nanos(self.clock.to_monotonic(record.unix_nanos));
        let Some(shard) = self.shard(record.shard) else { return };
        let mut cause = None;
        match &record.input {
            Input::RelayOpened { id, family, result } => {
                let Some(&(id_found, request)) = shard.opening.get(id) else {
                    let row = book.internal(record.shard, record.unix_nanos);
                    let text = format!(
                        "a relay socket was opened for allocation {id}, for which the replayed relay asked for none"
                    );
                    return book.difference(row, DifferenceKind::Input, text);
                };
                cause = Some(request);
                let result = match result {
                    RelayOpened::Ok => Ok(()),
                    RelayOpened::PortInUse => Err(RelayOpenError::PortInUse),
                    RelayOpened::Failed => Err(RelayOpenError::Failed),
                };
                shard.server.handle_relay_opened(now, id_found, family_of(*family), result);
            }
            Input::RelayFailed { id } => {
                if let Some(id) = shard.allocation_id(*id) {
                    shard.server.handle_relay_failed(id);
                }
            }
            Input::UsernameMoved { username, created_at } => {
                shard.server.handle_username_moved(username, Timestamp::from_nanos(*created_at));
            }
            Input::AllocatedElsewhere { username } => {
                shard.server.handle_allocated_elsewhere(&username.as_str().into());
            }
            Input::EndedElsewhere { username } => shard.server.handle_ended_elsewhere(username),
            Input::ResponseWithheld { to } => shard.withheld(*to),
            Input::PortReserved { token, port, v4, v6, username, expires_nanos } => {
                if let (Some(token), Some(families)) = (reservation_token(token), Families::new(*v4, *v6)) {
                    let reserved = ReservedPort {
                        token,
                        port: AllocationPort::new(*port),
                        families,
                        user_id: username.as_str().into(),
                        expires_at: Timestamp::from_nanos(*expires_nanos),
                    };
                    shard.server.handle_port_reserved(now, &reserved);
                }
            }
            Input::ReservationTaken { token } => {
                if let Some(token) = reservation_token(token) {
                    shard.server.handle_reservation_taken(token);
                }
            }
            Input::PortReturned { port } => shard.server.handle_port_returned(AllocationPort::new(*port)),
            Input::CrossingOpened(told) => {
                if let Some(crossing) = crossing(told) {
                    shard.server.handle_crossing_opened(&crossing);
                }
            }
            Input::CrossingClosed(told) => {
                if let Some(crossing) = crossing(told) {
                    shard.server.handle_crossing_closed(&crossing);
                }
            }
            Input::OwnAddresses { own, v4, v6 } => shard.server.handle_own_addresses(OwnAddresses {
                own: own.clone(),
                status: AddressStatuses { v4: status_of(*v4), v6: status_of(*v6) },
            }),
            Input::Drain => {
                shard.server.handle_drain();
                book.internal(record.shard, record.unix_nanos);
                book.change(Change::Draining);
            }
            Input::WallClock { unix_seconds } => shard.server.handle_wall_clock(now, UnixTime(*unix_seconds)),
            Input::Timeout => shard.server.handle_timeout(now),
            _ => {}
        }
        let outputs = shard.outputs();
        let has_events = outputs.iter().any(|output| matches!(output, Output::Event(_)));
        if has_events && !cause.is_some_and(|row| book.is_last(row)) {
            let row = book.internal(record.shard, record.unix_nanos);
            if let (Some(cause), Some(row)) = (cause, book.row_mut(row)) {
                row.related = cause;
            }
        }
        shard.take(book, cause, outputs);
    }
}

const fn family_of(family: IpFamily) -> Family {
    match family {
        IpFamily::V4 => Family::V4,
        IpFamily::V6 => Family::V6,
    }
}

const fn status_of(status: packet_trace::AddressStatus) -> AddressStatus {
    match status {
        packet_trace::AddressStatus::Present => AddressStatus::Present,
        packet_trace::AddressStatus::Missing => AddressStatus::Missing,
        packet_trace::AddressStatus::NoFamily => AddressStatus::NoFamily,
    }
}

/// `None` if its channel number is none.
fn crossing(told: &packet_trace::Crossing) -> Option<Crossing> {
    Some(Crossing {
        family: family_of(told.family),
        from: AllocationPort::new(told.from),
        to: AllocationPort::new(told.to),
        five_tuple: FiveTuple { client: ClientSocket::new(told.client), server: told.server },
        channel: ChannelNumber::new(told.channel)?,
    })
}

/// 16 hexadecimal digits; anything else is no token.
fn reservation_token(text: &str) -> Option<ReservationToken> {
    let number = u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 2 * ReservationToken::LEN)?;
    Some(ReservationToken::new(number.to_be_bytes()))
}
