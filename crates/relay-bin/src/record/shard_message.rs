//! Converts messages between shards to the trace format. `relay_replay::shard_message` converts them back.

use packet_trace::{Input, IpFamily};
use relay_server::{Crossing, Family, PortNeed, ReservationToken, ShardMessage};

/// `message` as an input of the shard that receives it.
pub(super) fn recorded(message: &ShardMessage) -> Input {
    match message {
        ShardMessage::UsernameMoved { user_id, created_at } => {
            Input::UsernameMoved { username: user_id.to_string(), created_at: created_at.as_nanos() }
        }
        ShardMessage::Allocated { user_id } => Input::AllocatedElsewhere { username: user_id.to_string() },
        ShardMessage::Ended { user_id } => Input::EndedElsewhere { username: user_id.to_string() },
        ShardMessage::PortReserved(reserved) => Input::PortReserved {
            token: token_text(reserved.token),
            port: reserved.port.get(),
            v4: reserved.families.contains(Family::V4),
            v6: reserved.families.contains(Family::V6),
            username: reserved.user_id.to_string(),
            expires_nanos: reserved.expires_at.as_nanos(),
        },
        ShardMessage::ReservationTaken { token } => Input::ReservationTaken { token: token_text(*token) },
        ShardMessage::PortReturned { port } => Input::PortReturned { port: port.get() },
        ShardMessage::PortHeld { port } => Input::PortHeld { port: port.get() },
        ShardMessage::PortWanted { by, number, need } => {
            Input::PortWanted { by: by.get().into(), number: *number, need: recorded_need(*need) }
        }
        ShardMessage::PortLent { from, number, port, need } => {
            Input::PortLent { from: from.get().into(), number: *number, port: port.get(), need: recorded_need(*need) }
        }
        ShardMessage::NoPort { from, number } => Input::NoPort { from: from.get().into(), number: *number },
        ShardMessage::CrossingOpened(crossing) => Input::CrossingOpened(recorded_crossing(crossing)),
        ShardMessage::CrossingClosed(crossing) => Input::CrossingClosed(recorded_crossing(crossing)),
    }
}

pub(super) const fn ip_family(family: Family) -> IpFamily {
    match family {
        Family::V4 => IpFamily::V4,
        Family::V6 => IpFamily::V6,
    }
}

const fn recorded_need(need: PortNeed) -> packet_trace::PortNeed {
    match need {
        PortNeed::Any => packet_trace::PortNeed::Any,
        PortNeed::Even => packet_trace::PortNeed::Even,
        PortNeed::Pair => packet_trace::PortNeed::Pair,
    }
}

const fn recorded_crossing(crossing: &Crossing) -> packet_trace::Crossing {
    packet_trace::Crossing {
        family: ip_family(crossing.family),
        from: crossing.from.get(),
        to: crossing.to.get(),
        client: crossing.five_tuple.client.address(),
        server: crossing.five_tuple.server,
        channel: crossing.channel.get(),
    }
}

fn token_text(token: ReservationToken) -> String {
    format!("{:016x}", u64::from_be_bytes(token.to_bytes()))
}

#[cfg(test)]
mod tests {
    use relay_server::{
        AllocationPort, ChannelNumber, ClientSocket, Families, FiveTuple, ReservedPort, ShardId, Timestamp,
    };

    use super::*;

    #[test]
    fn what_is_recorded_is_what_a_replay_reads() {
        let port = AllocationPort::new(50_001);
        let user_id = || "1892160000:salt".into();
        let token = ReservationToken::new([0, 1, 2, 3, 4, 5, 6, 0xFF]);
        let reserved = |families| {
            let expires_at = Timestamp::from_nanos(u64::MAX - 1);
            ShardMessage::PortReserved(ReservedPort { token, port, families, user_id: user_id(), expires_at })
        };
        let crossing = Crossing {
            family: Family::V6,
            from: port,
            to: AllocationPort::new(50_002),
            five_tuple: FiveTuple {
                client: ClientSocket::new("[2001:db8::7]:1000".parse().unwrap()),
                server: "2001:db8::1".parse().unwrap(),
            },
            channel: ChannelNumber::MIN,
        };
        let messages = [
            ShardMessage::UsernameMoved { user_id: user_id(), created_at: Timestamp::from_nanos(7) },
            ShardMessage::Allocated { user_id: user_id() },
            ShardMessage::Ended { user_id: user_id() },
            reserved(Families::Only(Family::V4)),
            reserved(Families::Only(Family::V6)),
            reserved(Families::Both),
            ShardMessage::ReservationTaken { token },
            ShardMessage::PortReturned { port },
            ShardMessage::PortHeld { port },
            ShardMessage::PortWanted { by: ShardId::new(3), number: u64::MAX, need: PortNeed::Any },
            ShardMessage::PortWanted { by: ShardId::new(3), number: 0, need: PortNeed::Even },
            ShardMessage::PortLent { from: ShardId::new(2), number: 7, port, need: PortNeed::Pair },
            ShardMessage::NoPort { from: ShardId::new(u16::MAX), number: 8 },
            ShardMessage::CrossingOpened(crossing),
            ShardMessage::CrossingClosed(crossing),
        ];
        for message in messages {
            assert_eq!(relay_replay::shard_message(&recorded(&message)), Some(message));
        }
        assert_eq!(relay_replay::shard_message(&Input::Timeout), None);
    }
}
