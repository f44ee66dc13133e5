//! Reads recorded messages between shards.

use packet_trace::{Input, IpFamily};
use relay_server::{
    AllocationPort, ChannelNumber, ClientSocket, Crossing, Families, Family, FiveTuple, PortNeed, ReservationToken,
    ReservedPort, ShardId, ShardMessage, Timestamp,
};

/// The message of another shard in `input`. `None` if it is another input, or invalid.
#[must_use]
pub fn shard_message(input: &Input) -> Option<ShardMessage> {
    Some(match input {
        Input::UsernameMoved { username, created_at } => ShardMessage::UsernameMoved {
            user_id: username.as_str().into(),
            created_at: Timestamp::from_nanos(*created_at),
        },
        Input::AllocatedElsewhere { username } => ShardMessage::Allocated { user_id: username.as_str().into() },
        Input::EndedElsewhere { username } => ShardMessage::Ended { user_id: username.as_str().into() },
        Input::PortReserved { token, port, v4, v6, username, expires_nanos } => {
            ShardMessage::PortReserved(ReservedPort {
                token: reservation_token(token)?,
                port: AllocationPort::new(*port),
                families: Families::new(*v4, *v6)?,
                user_id: username.as_str().into(),
                expires_at: Timestamp::from_nanos(*expires_nanos),
            })
        }
        Input::ReservationTaken { token } => ShardMessage::ReservationTaken { token: reservation_token(token)? },
        Input::PortReturned { port } => ShardMessage::PortReturned { port: AllocationPort::new(*port) },
        Input::PortHeld { port } => ShardMessage::PortHeld { port: AllocationPort::new(*port) },
        Input::PortWanted { by, number, need } => {
            ShardMessage::PortWanted { by: shard(*by)?, number: *number, need: need_of(*need) }
        }
        Input::PortLent { from, number, port, need } => ShardMessage::PortLent {
            from: shard(*from)?,
            number: *number,
            port: AllocationPort::new(*port),
            need: need_of(*need),
        },
        Input::NoPort { from, number } => ShardMessage::NoPort { from: shard(*from)?, number: *number },
        Input::CrossingOpened(told) => ShardMessage::CrossingOpened(crossing(told)?),
        Input::CrossingClosed(told) => ShardMessage::CrossingClosed(crossing(told)?),
        _ => return None,
    })
}

pub(crate) const fn family_of(family: IpFamily) -> Family {
    match family {
        IpFamily::V4 => Family::V4,
        IpFamily::V6 => Family::V6,
    }
}

fn shard(number: u32) -> Option<ShardId> {
    u16::try_from(number).ok().map(ShardId::new)
}

const fn need_of(need: packet_trace::PortNeed) -> PortNeed {
    match need {
        packet_trace::PortNeed::Any => PortNeed::Any,
        packet_trace::PortNeed::Even => PortNeed::Even,
        packet_trace::PortNeed::Pair => PortNeed::Pair,
    }
}

/// `None` if the channel number is invalid.
fn crossing(told: &packet_trace::Crossing) -> Option<Crossing> {
    Some(Crossing {
        family: family_of(told.family),
        from: AllocationPort::new(told.from),
        to: AllocationPort::new(told.to),
        five_tuple: FiveTuple { client: ClientSocket::new(told.client), server: told.server },
        channel: ChannelNumber::new(told.channel)?,
    })
}

/// Parses 16 hexadecimal digits.
fn reservation_token(text: &str) -> Option<ReservationToken> {
    let number = u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 2 * ReservationToken::LEN)?;
    Some(ReservationToken::new(number.to_be_bytes()))
}
