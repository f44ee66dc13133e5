//! Sends and checks application data through flows.

use std::{collections::VecDeque, io, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    client::Client,
    clock,
    histogram::Histogram,
    interrupt,
    lane::{Arrival, Lane},
    payload::{HEADER, Pattern, Stamp},
    poller::Poller,
    process,
    socket::{Buffers, UdpSocket},
    wrap::{self, Wrap, Wrappers},
};

/// How long to wait before datagrams in flight count as lost, and by default for late ones at the end.
const PATIENCE: Duration = Duration::from_millis(300);
/// How many datagrams to send before reading.
const BURST: u64 = 64;

/// The rate of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// This many datagrams per second, evenly.
    Rate(u64),
    /// As fast as datagrams arrive, with this many in flight.
    Window(u64),
}

/// One direction of one flow.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// The index of the sending socket.
    pub(crate) from: usize,
    pub(crate) to: SocketAddr,
    /// The encapsulation, if the sender is a client.
    pub(crate) wrap: Wrap,
}

/// The parameters of a run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) pace: Pace,
    /// Bytes of application data in each datagram.
    pub(crate) size: usize,
    pub(crate) duration: Duration,
    /// How many datagrams a sender passes to the kernel as one (GSO); 1 for none.
    pub(crate) segments: usize,
    /// Never sleep between datagrams. Otherwise the server pays for waking this program, and the scheduler may then move it between
    /// cores, which would add noise to the server's figures.
    pub(crate) busy: bool,
}

/// The results of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) corrupt: u64,
    pub(crate) duplicates: u64,
    pub(crate) late: u64,
    /// Packets of any program that the kernel dropped meanwhile because it was overloaded. Some may be this program's.
    pub(crate) backlog_drops: u64,
    /// Lost datagrams that cannot be among those.
    pub(crate) lost_by_server: u64,
    /// How often there was nothing to send and nothing to receive.
    pub(crate) idle_turns: u64,
    /// From the first sent datagram to the last received one.
    pub(crate) elapsed: Duration,
    /// The latency in one direction.
    pub(crate) latency: Histogram,
}

impl Report {
    pub(crate) const fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }

    pub(crate) fn loss(&self) -> f64 {
        self.lost() as f64 / self.sent.max(1) as f64
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.sent += other.sent;
        self.received += other.received;
        self.corrupt += other.corrupt;
        self.duplicates += other.duplicates;
        self.late += other.late;
        self.backlog_drops += other.backlog_drops;
        self.lost_by_server += other.lost_by_server;
        self.idle_turns += other.idle_turns;
        self.elapsed += other.elapsed;
        self.latency.merge(&other.latency);
    }
}

/// Sockets and the lanes between them, ready to send.
pub(crate) struct Traffic {
    sockets: Vec<UdpSocket>,
    /// For each socket, whether it is a client's, so that received datagrams are encapsulated.
    is_client: Vec<bool>,
    routes: Vec<Route>,
    lanes: Vec<Lane>,
    poller: Poller,
    buffers: Buffers,
    pattern: Pattern,
    wrappers: Wrappers,
    outgoing: Vec<u8>,
    next_route: usize,
    ready: VecDeque<usize>,
    clients: Vec<Client>,
    /// How long to wait at the end after the last datagram.
    patience: Duration,
    network_comes_and_goes: bool,
}

impl Traffic {
    /// Creates traffic. Each socket comes with whether it is a client's.
    ///
    /// # Errors
    ///
    /// When the sockets cannot be watched.
    pub(crate) fn new(sockets: Vec<(UdpSocket, bool)>, routes: Vec<Route>) -> Result<Self> {
        let (sockets, is_client): (Vec<_>, Vec<_>) = sockets.into_iter().unzip();
        let poller = Poller::new()?;
        for (number, socket) in sockets.iter().enumerate() {
            poller.add(socket.socket(), number).context("cannot watch a socket")?;
        }
        Ok(Self {
            lanes: vec![Lane::default(); routes.len()],
            sockets,
            is_client,
            routes,
            poller,
            buffers: Buffers::new(),
            pattern: Pattern::new(),
            wrappers: Wrappers::default(),
            outgoing: Vec::new(),
            next_route: 0,
            ready: VecDeque::new(),
            clients: Vec::new(),
            patience: PATIENCE,
            network_comes_and_goes: false,
        })
    }

    /// Keeps the clients whose sockets these are.
    pub(crate) fn of_clients(mut self, clients: Vec<Client>) -> Self {
        self.clients = clients;
        self
    }

    /// Sets how long to wait for late datagrams, to tell them from lost ones on a busy machine.
    pub(crate) const fn wait_for_stragglers(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Makes a missing route to the server no error: nothing is sent meanwhile.
    pub(crate) const fn let_network_come_and_go(&mut self) {
        self.network_comes_and_goes = true;
    }

    /// Discards all received datagrams.
    pub(crate) fn discard_arrived(&mut self) -> io::Result<()> {
        for socket in &self.sockets {
            while socket.receive(&mut self.buffers, |_, _| {})? {}
        }
        Ok(())
    }

    /// The clients whose allocations it uses.
    pub(crate) const fn clients_mut(&mut self) -> &mut Vec<Client> {
        &mut self.clients
    }

    /// The clients whose allocations it used.
    pub(crate) fn into_clients(self) -> Vec<Client> {
        self.clients
    }

    /// The addresses of its sockets.
    pub(crate) fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(|socket| socket.socket().local_addr()).collect()
    }

    /// Sends and receives as `plan` says, or until the program is to end. Calls `progress` at intervals with the results so far.
    ///
    /// # Errors
    ///
    /// When a socket fails.
    pub(crate) fn run(&mut self, plan: &Plan, mut progress: impl FnMut(&Report)) -> Result<Report> {
        let mut report = Report::default();
        let drops = process::backlog_drops()?;
        let start = clock::now();
        let end = start + plan.duration;
        let mut last_arrival = start;
        let mut in_flight = 0;
        let mut told = start;
        loop {
            let now = clock::now();
            if now >= end || interrupt::requested() {
                break;
            }
            let allowed = match plan.pace {
                Pace::Rate(rate) => {
                    let due = u128::from(rate) * (now - start).as_nanos() / 1_000_000_000 + 1;
                    let due = u64::try_from(due).unwrap_or(u64::MAX);
                    due.saturating_sub(report.sent)
                }
                Pace::Window(window) => window.saturating_sub(in_flight),
            };
            let sent = self.send(plan, allowed.min(BURST.max(plan.segments as u64)), &mut report)?;
            in_flight += sent;
            let timeout = match plan.pace {
                _ if plan.busy || sent < allowed => Duration::ZERO,
                Pace::Rate(rate) => {
                    let next = start + Duration::from_secs_f64(report.sent as f64 / rate as f64);
                    next.min(end).saturating_sub(clock::now())
                }
                Pace::Window(_) => Duration::from_millis(10),
            };
            let received = self.receive(plan, timeout, &mut report)?;
            in_flight = in_flight.saturating_sub(received);
            report.idle_turns += u64::from(sent + received == 0);
            if received > 0 {
                last_arrival = clock::now();
            } else if clock::now() - last_arrival > PATIENCE {
                in_flight = 0;
            }
            if clock::now() - told > Duration::from_secs(1) {
                told = clock::now();
                progress(&report);
            }
        }
        let mut quiet_since = clock::now();
        while report.received + report.corrupt < report.sent && clock::now() - quiet_since < self.patience {
            let timeout = if plan.busy { Duration::ZERO } else { Duration::from_millis(10) };
            let received = self.receive(plan, timeout, &mut report)?;
            report.idle_turns += u64::from(received == 0);
            if received > 0 {
                quiet_since = clock::now();
                last_arrival = quiet_since;
            }
        }
        report.elapsed = last_arrival - start;
        report.backlog_drops = process::backlog_drops()?.saturating_sub(drops);
        report.lost_by_server = report.lost().saturating_sub(report.backlog_drops);
        Ok(report)
    }

    /// Sends about `count` datagrams, and returns how many.
    fn send(&mut self, plan: &Plan, count: u64, report: &mut Report) -> Result<u64> {
        let mut sent = 0;
        while sent < count {
            if plan.segments > 1 && count - sent < plan.segments as u64 && sent > 0 {
                break;
            }
            let index = self.next_route;
            self.next_route = (index + 1) % self.routes.len();
            let (route, lane) = (&self.routes[index], &mut self.lanes[index]);
            let wrapped = self.wrappers.of(index, route.wrap, plan.size);
            let (payload, each) = (wrapped.payload(), wrapped.len());
            self.outgoing.resize(each * plan.segments, 0);
            let now = clock::nanos(clock::now());
            let first = lane.next;
            for datagram in self.outgoing.chunks_exact_mut(each) {
                wrapped.write(datagram);
                let lane_number = u32::try_from(index).context("too many lanes")?;
                let stamp = Stamp { lane: lane_number, sequence: lane.next, sent: now };
                self.pattern.write(&stamp, &mut datagram[payload.clone()]);
                lane.next += 1;
            }
            let segment = (plan.segments > 1).then_some(each);
            let socket = &self.sockets[route.from];
            let result = match socket.send(route.to, &self.outgoing, segment) {
                Err(error) if error.kind() == io::ErrorKind::NetworkUnreachable && self.network_comes_and_goes => {
                    Ok(false)
                }
                result => result,
            };
            let went = result
                .with_context(|| format!("cannot send from {:?} to {}", socket.socket().local_addr(), route.to))?;
            if !went {
                // It was not sent, so it cannot be lost.
                lane.next = first;
                break;
            }
            sent += plan.segments as u64;
            report.sent += plan.segments as u64;
        }
        Ok(sent)
    }

    /// Receives what is there, after waiting for at most `timeout`. Returns how many datagrams were correct.
    fn receive(&mut self, plan: &Plan, timeout: Duration, report: &mut Report) -> io::Result<u64> {
        let before = report.received;
        self.ready.extend(self.poller.wait(Some(timeout))?);
        let Self { sockets, is_client, lanes, buffers, pattern, ready, .. } = self;
        while let Some(number) = ready.pop_front() {
            let Some(socket) = sockets.get(number) else { continue };
            let is_client = is_client[number];
            socket.receive(buffers, |_, datagram| {
                let payload = if is_client { wrap::unwrap(datagram) } else { Some(datagram.into()) };
                let stamp = payload.and_then(|payload| pattern.read(&payload, plan.size));
                let arrival = stamp.and_then(|stamp| {
                    let lane = lanes.get_mut(usize::try_from(stamp.lane).ok()?)?;
                    Some((lane.receive(stamp.sequence), stamp.sent))
                });
                match arrival {
                    None | Some((Arrival::Unsent, _)) => report.corrupt += 1,
                    Some((Arrival::Duplicate, _)) => report.duplicates += 1,
                    Some((arrival, sent)) => {
                        report.received += 1;
                        report.late += u64::from(arrival == Arrival::Late);
                        report.latency.record(clock::nanos(clock::now()).saturating_sub(sent));
                    }
                }
            })?;
        }
        Ok(report.received - before)
    }
}

/// The shortest payload: the header.
pub(crate) const LEAST: usize = HEADER;
