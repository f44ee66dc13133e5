//! Converts the peer policy to the trace format.

use relay_server::PeerPolicy;

pub(super) fn recorded_policy(policy: &PeerPolicy) -> packet_trace::PeerPolicy {
    packet_trace::PeerPolicy {
        open: policy.open().map(|usage| usage.name().to_owned()).collect(),
        machine_is_open: policy.machine_is_open(),
        rules: policy.rules().map(|rule| rule.to_string()).collect(),
    }
}
