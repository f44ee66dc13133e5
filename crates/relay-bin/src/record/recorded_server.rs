//! A shard's state machine, whose inputs and outputs can be recorded.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use packet_trace::{Direction, Input, RelayOpened};
use relay_server::{
    AcceptedCredentials, AddressStatus, AllocationId, AllocationPort, ClientSocket, Family, FiveTuple, Forward, Icmp,
    Output, OwnAddresses, PeerPolicy, PeerSocket, QuotaHolder, RelayOpenError, Server, ShardMessage, Timestamp,
    TooEarly, UnixTime, Via,
};

use super::{
    Recorder,
    credentials::recorded_credentials,
    peer_policy::recorded_policy,
    shard_message::{self, ip_family},
};

/// A [`Server`] that can be recorded. Its methods are those of the server.
#[derive(Debug)]
pub(crate) struct RecordedServer {
    server: Server,
    recorder: Option<Recorder>,
    /// The time of the last input, which is also the time of its outputs.
    now: Timestamp,
}

impl RecordedServer {
    /// A server that is recorded with `recorder` from its start.
    pub(crate) const fn new(server: Server, recorder: Option<Recorder>) -> Self {
        Self { server, recorder, now: Timestamp::ZERO }
    }

    /// Records with `recorder` from now on, beginning with the state at `now`; `None` stops. All outputs must have been taken. Dropping
    /// the last recorder of a recording ends its file.
    pub(crate) fn record_with(&mut self, now: Timestamp, recorder: Option<Recorder>) {
        self.now = now;
        self.recorder = recorder;
        if let Some(recorder) = &mut self.recorder {
            recorder.begin(now, &self.server);
        }
    }

    /// Whether anything is recorded.
    pub(crate) const fn is_recorded(&self) -> bool {
        self.recorder.is_some()
    }

    pub(crate) const fn server(&self) -> &Server {
        &self.server
    }

    pub(crate) fn handle_client_datagram(
        &mut self,
        now: Timestamp,
        from: FiveTuple,
        datagram: &[u8],
    ) -> Option<Forward> {
        let forward = self.server.handle_client_datagram(now, from, datagram);
        self.record_from_client(now, from, datagram);
        let forward = forward?;
        self.record_forward(&forward, datagram);
        Some(forward)
    }

    /// Calls [`Server::handle_client_datagram_in_order`]. A datagram that comes too early is not recorded, since it will be tried
    /// again.
    pub(crate) fn handle_client_datagram_in_order(
        &mut self,
        now: Timestamp,
        from: FiveTuple,
        datagram: &[u8],
    ) -> Result<Option<Forward>, TooEarly> {
        let result = self.server.handle_client_datagram_in_order(now, from, datagram);
        if let Ok(forward) = &result {
            self.record_from_client(now, from, datagram);
            if let Some(forward) = forward {
                self.record_forward(forward, datagram);
            }
        }
        // Returned unchanged: moving it takes as long as a look-up.
        result
    }

    /// Records the datagram of a client that was just handled.
    fn record_from_client(&mut self, now: Timestamp, from: FiveTuple, datagram: &[u8]) {
        if let Some(recorder) = &mut self.recorder
            // A flood of strangers must not fill the recording.
            && !self.server.has_withheld_reply()
        {
            self.now = now;
            let to = SocketAddr::new(from.server, self.server.config().listen_port);
            recorder.packet(now, Direction::Inbound, from.client.address(), to, [datagram, &[], &[]]);
        }
    }

    pub(crate) fn handle_peer_datagram(
        &mut self,
        now: Timestamp,
        port: AllocationPort,
        peer: PeerSocket,
        datagram: &[u8],
    ) -> Option<Forward> {
        if self.recorder.is_some() {
            self.now = now;
            let to = self.relayed_socket(peer.address(), port);
            self.record(Direction::Inbound, peer.address(), to, [datagram, &[], &[]]);
        }
        let forward = self.server.handle_peer_datagram(now, port, peer, datagram)?;
        self.record_forward(&forward, datagram);
        Some(forward)
    }

    pub(crate) fn handle_quota_claimed(
        &mut self,
        now: Timestamp,
        id: AllocationId,
        holder: QuotaHolder,
        is_granted: bool,
    ) {
        self.input(now, || {
            let (username, prefix) = match &holder {
                QuotaHolder::User(user_id) => (user_id.to_string(), None),
                QuotaHolder::Prefix(prefix) => (String::new(), Some(prefix.to_string())),
            };
            Input::QuotaClaimed { id: id.as_u64(), username, prefix, is_granted }
        });
        self.server.handle_quota_claimed(now, id, holder, is_granted);
    }

    pub(crate) fn handle_relay_opened(
        &mut self,
        now: Timestamp,
        id: AllocationId,
        family: Family,
        result: Result<(), RelayOpenError>,
    ) {
        self.input(now, || Input::RelayOpened {
            id: id.as_u64(),
            family: ip_family(family),
            result: match result {
                Ok(()) => RelayOpened::Ok,
                Err(RelayOpenError::OwnClient) => RelayOpened::OwnClient,
                Err(RelayOpenError::PortInUse) => RelayOpened::PortInUse,
                Err(_) => RelayOpened::Failed,
            },
        });
        self.server.handle_relay_opened(now, id, family, result);
    }

    pub(crate) fn handle_icmp(&mut self, now: Timestamp, port: AllocationPort, peer: PeerSocket, icmp: Icmp) {
        let Icmp { icmp_type, code, error_data } = icmp;
        self.input(now, || Input::Icmp { port: port.get(), peer: peer.address(), icmp_type, code, error_data });
        self.server.handle_icmp(now, port, peer, icmp);
    }

    pub(crate) fn handle_accepted_credentials(&mut self, now: Timestamp, accepted: Arc<AcceptedCredentials>) {
        let with_secret = self.recorder.as_ref().is_some_and(Recorder::with_secret);
        self.input(now, || Input::CredentialsAccepted {
            credentials: with_secret.then(|| recorded_credentials(&accepted)),
        });
        self.server.handle_accepted_credentials(accepted);
    }

    pub(crate) fn handle_relay_failed(&mut self, now: Timestamp, id: AllocationId) {
        self.input(now, || Input::RelayFailed { id: id.as_u64() });
        self.server.handle_relay_failed(id);
    }

    pub(crate) fn handle_shard_message(&mut self, now: Timestamp, message: &ShardMessage) {
        self.input(now, || shard_message::recorded(message));
        self.server.handle_shard_message(now, message);
    }

    pub(crate) fn handle_own_addresses(&mut self, now: Timestamp, addresses: OwnAddresses) {
        let OwnAddresses { own, status } = &addresses;
        self.input(now, || Input::OwnAddresses {
            own: own.clone(),
            v4: recorded_status(status.v4),
            v6: recorded_status(status.v6),
        });
        self.server.handle_own_addresses(addresses);
    }

    pub(crate) fn handle_peer_policy(&mut self, now: Timestamp, policy: Arc<PeerPolicy>) {
        self.input(now, || Input::PeerPolicy(recorded_policy(&policy)));
        self.server.handle_peer_policy(policy);
    }

    pub(crate) fn handle_drain(&mut self, now: Timestamp) {
        self.input(now, || Input::Drain);
        self.server.handle_drain();
    }

    pub(crate) fn handle_timeout(&mut self, now: Timestamp) {
        if self.poll_timeout().is_some_and(|due| due <= now) {
            self.input(now, || Input::Timeout);
        }
        self.server.handle_timeout(now);
    }

    pub(crate) fn handle_wall_clock(&mut self, now: Timestamp, unix_time: UnixTime) {
        self.input(now, || Input::WallClock { unix_seconds: unix_time.0 });
        self.server.handle_wall_clock(now, unix_time);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        self.server.poll_timeout()
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.server.poll_output()
    }

    /// Records a response that is sent.
    pub(crate) fn note_response(&mut self, from: IpAddr, to: ClientSocket, bytes: &[u8]) {
        if self.recorder.is_some() {
            self.record(Direction::Outbound, self.listener(from), to.address(), [bytes, &[], &[]]);
        }
    }

    fn input(&mut self, now: Timestamp, input: impl FnOnce() -> Input) {
        if let Some(recorder) = &mut self.recorder {
            self.now = now;
            recorder.input(now, input());
        }
    }

    fn record(&mut self, direction: Direction, source: SocketAddr, destination: SocketAddr, parts: [&[u8]; 3]) {
        if let Some(recorder) = &mut self.recorder {
            recorder.packet(self.now, direction, source, destination, parts);
        }
    }

    fn record_forward(&mut self, forward: &Forward, datagram: &[u8]) {
        if self.recorder.is_none() {
            return;
        }
        let payload = &datagram[forward.payload.clone()];
        let header = forward.header();
        let padding = &[0; 3][..forward.padding()];
        let from = match forward.from {
            Via::Listener(address) => self.listener(address),
            Via::Relay(port) => self.relayed_socket(forward.to, port),
        };
        self.record(Direction::Outbound, from, forward.to, [header.as_bytes(), payload, padding]);
    }

    const fn listener(&self, address: IpAddr) -> SocketAddr {
        SocketAddr::new(address, self.server.config().listen_port)
    }

    /// The relayed transport address that exchanges data with `remote`.
    fn relayed_socket(&self, remote: SocketAddr, port: AllocationPort) -> SocketAddr {
        let addresses = self.server.config().relay_addresses;
        // Every open socket has an address of its family.
        addresses.socket(Family::of(remote.ip()), port).unwrap_or(SocketAddr::new(remote.ip(), port.get()))
    }
}

const fn recorded_status(status: AddressStatus) -> packet_trace::AddressStatus {
    match status {
        AddressStatus::Present => packet_trace::AddressStatus::Present,
        AddressStatus::Missing => packet_trace::AddressStatus::Missing,
        AddressStatus::NoFamily => packet_trace::AddressStatus::NoFamily,
    }
}
