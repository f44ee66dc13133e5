use packet_trace::{Datagram, Direction, Limits, TraceHeader, TraceWriter};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use stun_msg::Method;

use super::{
    client::Client,
    failure::{Failure, Moment, What},
    *,
};
use crate::explain;

const CLIENT: &str = "192.0.2.10:50000";
const SERVER: &str = "203.0.113.1:3478";

/// A capture without a secret of `count` requests, each with a transaction ID of its own, and of one answer each if `answered`.
fn diagnose(count: u32, answered: bool) -> Diagnosis {
    let (client, server) = (CLIENT.parse().unwrap(), SERVER.parse().unwrap());
    let mut diagnosis = Diagnosis::new();
    let mut file = Vec::new();
    let mut writer = TraceWriter::new(TraceHeader::example(), Limits::default(), &mut file);
    for number in 0..count {
        let mut message = b"\0\x01\0\0\x21\x12\xa4\x42transact".to_vec();
        message.extend(number.to_be_bytes());
        let now = u64::from(number) * 1_000_000;
        let datagram = Datagram { source: client, destination: server, payload: &message };
        let _ = writer.packet(0, now, Direction::Inbound, datagram, &mut file);
        if answered {
            let answer = [b"\x01", &message[1..]].concat();
            let datagram = Datagram { source: server, destination: client, payload: &answer };
            let _ = writer.packet(0, now, Direction::Outbound, datagram, &mut file);
        }
        diagnosis.push(&std::mem::take(&mut file));
    }
    diagnosis
}

#[test]
fn what_is_kept_does_not_grow_with_the_capture() {
    for answered in [true, false] {
        let diagnosis = diagnose(70_000, answered);
        assert!(diagnosis.session.rows().len() <= 1);
        // A minute of requests, a millisecond apart.
        assert!(diagnosis.tracker.waiting() <= 60_001, "{}", diagnosis.tracker.waiting());
        let report = diagnosis.finish();
        let tally = report.clients[0].requests["Binding"];
        assert_eq!((tally.requests, tally.succeeded), (70_000, if answered { 70_000 } else { 0 }));
        assert_eq!(report.clients[0].problems.len(), usize::from(!answered));
    }
}

/// Nothing that comes later makes up for data that was lost to a limit.
#[test]
fn what_went_over_a_limit_is_told_whatever_comes_after() {
    let peer = "198.51.100.30:41000".parse().unwrap();
    let mut client = Client::new(CLIENT.parse().unwrap(), SERVER.parse().unwrap(), 0);
    let moment = Moment { packet: 1, at: 0 };
    let failure = Failure::new(ProblemKind::OverLimit, What::ChannelData, moment, explain::no_answer());
    client.fail(failure.about([peer]));
    for method in [Method::ALLOCATE, Method::CREATE_PERMISSION, Method::CHANNEL_BIND] {
        client.granted(method, &[peer], 1);
    }
    for from_client in [true, false] {
        client.reached(peer, from_client, 2);
    }
    (client.to_peers, client.from_peers) = (1, 1);
    client.end(3);
    let report = client.report(0);
    assert_eq!((report.status, report.problems.len()), (Status::Partly, 1));
}
