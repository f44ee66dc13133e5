//! Two workers on threads, one of which panics while it handles a datagram. Checks that the other one's clients notice nothing, and
//! that no port, quota or flow is lost.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    thread::JoinHandle,
};

use relay_server::{AddressStatus, AllocationPort, AuthSecret, Flow, FlowKey, RelayAddresses, Traffic, UsernameLimit};
use test_support::{
    PATIENCE,
    echo::Echo,
    relay::{SECRET, credentials, exchange},
    wait_until,
};
use tokio::sync::oneshot;
use turn_client::{Allocate, BlockingClient, Request};

use super::*;
use crate::{
    accounting::AccountingSender,
    addresses::FamilyState,
    clock::Clock,
    files::Files,
    listen,
    offload::Offload,
    shard::{self, HeldPorts, Mailbox, Poller, Pulse, Sender, Setup, SharedQuota, ports, stats},
};

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const CHANNEL: u16 = 0x4000;
/// A quota that no user reaches in these tests.
const QUOTA: u32 = 1_000;

/// The flows of a fake kernel that accepts all.
#[derive(Clone, Debug, Default)]
struct Kernel(Arc<Mutex<BTreeSet<String>>>);

impl Kernel {
    fn flows(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Offload for Kernel {
    fn install(&mut self, flow: &Flow) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(format!("{:?}", flow.key))
    }

    fn install_waiting(&mut self) -> Option<Flow> {
        None
    }

    fn remove(&mut self, key: &FlowKey) -> Option<Traffic> {
        let was_there = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&format!("{key:?}"));
        was_there.then(Traffic::default)
    }

    fn set_addresses(&mut self, _: &AddressState) -> bool {
        false
    }
}

/// Two workers and what they share.
struct Workers {
    listen: SocketAddr,
    /// The ports of the first worker. The second has those above.
    first: PortRange,
    mail: Vec<Sender>,
    threads: Vec<JoinHandle<anyhow::Result<()>>>,
    published: Vec<stats::Published>,
    faults: Faults,
    kernel: Kernel,
    held: HeldPorts,
    quota: SharedQuota,
}

impl Workers {
    /// Starts two workers. The first panics after it has handled `fuse` datagrams of clients.
    fn start(fuse: Option<u32>) -> Self {
        Self::start_with(PortRange::DYNAMIC, fuse)
    }

    fn start_with(all_ports: PortRange, fuse: Option<u32>) -> Self {
        let listen = UdpSocket::bind((HOST, 0)).unwrap().local_addr().unwrap();
        let mut listeners = [Vec::new(), Vec::new()];
        listen::bind_at(listen, 7, &mut listeners).unwrap();
        let family =
            FamilyState { public: HOST, relay: HOST, source: Some(HOST), local: HOST, status: AddressStatus::Present };
        let addresses = Arc::new(AddressState { v4: Some(family), ..AddressState::default() });
        let accepted: Arc<AcceptedCredentials> = AuthSecret::new(SECRET).unwrap().into();
        let clock = Clock::start();
        let parts = ports::partition(all_ports, NonZeroUsize::new(2).unwrap());
        let (mut mail, mut ends) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let poller = Poller::new().unwrap();
            let (sender, mailbox) = Mailbox::new(&poller).unwrap();
            mail.push(sender);
            ends.push((poller, mailbox));
        }
        let mut workers = Self {
            listen,
            first: parts[0],
            mail,
            threads: Vec::new(),
            published: vec![stats::Published::default(), stats::Published::default()],
            faults: Faults::default(),
            kernel: Kernel::default(),
            held: HeldPorts::new(),
            quota: SharedQuota::default(),
        };
        let each = listeners.into_iter().zip(parts).zip(ends).enumerate();
        for (number, ((listeners, ports), (poller, mailbox))) in each {
            let other = 1 - number;
            let id = |number: usize| ShardId::new(u16::try_from(number).unwrap());
            let (tell_ready, ready) = oneshot::channel();
            let setup = Setup {
                server: config(listen.port(), ports),
                all_ports,
                accepted: Arc::clone(&accepted),
                seed: [u8::try_from(number).unwrap(); 32],
                clock,
                listeners,
                addresses: Arc::clone(&addresses),
                held_ports: workers.held.clone(),
                shared_quota: workers.quota.clone(),
                files: Files::unlimited(),
                faults: workers.faults.clone(),
                offload: Box::new(workers.kernel.clone()),
                published: workers.published[number].clone(),
                poller,
                mailbox,
                shard: id(number),
                others: vec![(id(other), workers.mail[other].clone())],
                started: (clock.now(), Clock::unix_time()),
                recorder: None,
                inherited: None,
                go: None,
                ready: tell_ready,
                pulse: Pulse::default(),
                accounting: AccountingSender::unheard(),
                fuse: fuse.filter(|_| number == 0),
            };
            workers.threads.push(thread::spawn(move || shard::run(setup)));
            ready.blocking_recv().unwrap();
        }
        workers
    }

    fn client(&self, salt: &str) -> BlockingClient {
        BlockingClient::connect(self.listen, credentials(salt)).unwrap()
    }

    /// A client with an allocation on the worker with this number.
    fn client_of(&self, worker: usize) -> (BlockingClient, SocketAddr) {
        for _ in 0..40 {
            let mut client = self.client("a");
            let relayed = client.allocate(Allocate::default()).unwrap().relayed[0];
            if self.first.contains(AllocationPort::new(relayed.port())) == (worker == 0) {
                return (client, relayed);
            }
            client.refresh(Duration::ZERO).unwrap();
        }
        panic!("the kernel prefers one worker")
    }

    fn panics(&self) -> u64 {
        self.faults.counts()[Part::Worker as usize].1
    }

    fn allocations(&self) -> u64 {
        stats::fold(&self.published).allocations()
    }

    fn tell(&self, mail: impl Fn() -> Mail) {
        self.mail.iter().for_each(|sender| sender.send(mail()));
    }

    /// Waits until no allocation, flow, quota or port is held.
    fn assert_empty(&self) {
        wait_until(|| self.allocations() == 0);
        wait_until(|| self.kernel.flows() == 0 && self.quota.counts().is_empty());
        let holds = |port: AllocationPort| self.held.contains(SocketAddr::new(HOST, port.get()));
        wait_until(|| !PortRange::DYNAMIC.iter().any(holds));
    }

    fn stop(self) {
        self.tell(|| Mail::Stop);
        for thread in self.threads {
            thread.join().unwrap().unwrap();
        }
    }
}

fn config(listen_port: u16, ports: PortRange) -> Config {
    Config {
        listen_port,
        ports,
        username_limit: UsernameLimit::RefuseBeyond(QUOTA),
        peer_policy: PeerPolicy::unrestricted().into(),
        ..Config::of_relay_at(RelayAddresses { v4: Some(Ipv4Addr::LOCALHOST), v6: None })
    }
}

/// Makes each kind of request once, until one fails.
fn live(client: &mut BlockingClient, peer: SocketAddr) -> Result<(), turn_client::Error> {
    client.allocate(Allocate { even_port: Some(true), ..Allocate::default() })?;
    client.request(Request::CreatePermission { peers: vec![peer] })?;
    client.bind(CHANNEL, peer)?;
    client.send(CHANNEL, b"data").unwrap();
    client.refresh(Duration::from_secs(600))?;
    client.bind(CHANNEL + 1, SocketAddr::new(HOST, 49_152))?;
    client.refresh(Duration::ZERO)?;
    Ok(())
}

#[test]
fn wherever_a_worker_panics_the_others_clients_notice_nothing_and_its_own_allocate_anew() {
    for fuse in 1..=12 {
        let workers = Workers::start(Some(fuse));
        let echo = Echo::start(workers.listen);
        let (mut steady, relayed) = workers.client_of(1);
        steady.bind(CHANNEL, echo.address).unwrap();
        exchange(&mut steady, CHANNEL, b"before");
        for number in 0.. {
            if workers.panics() > 0 {
                break;
            }
            assert!(number < 200, "it does not panic after {fuse}");
            // The panic interrupts it, and it retransmits requests without an answer.
            let _ = live(&mut workers.client(&format!("live-{number}")), echo.address);
            exchange(&mut steady, CHANNEL, b"meanwhile");
        }
        assert_eq!(workers.panics(), 1);
        for _ in 0..10 {
            exchange(&mut steady, CHANNEL, b"after");
        }
        steady.refresh(Duration::from_secs(600)).unwrap();

        // The worker serves again, and relays to and from a client of the other worker.
        let (mut again, at_again) = workers.client_of(0);
        again.bind(CHANNEL, echo.address).unwrap();
        exchange(&mut again, CHANNEL, b"again");
        again.bind(CHANNEL + 1, relayed).unwrap();
        steady.bind(CHANNEL + 1, at_again).unwrap();
        again.send(CHANNEL + 1, b"across").unwrap();
        assert_eq!(steady.receive(PATIENCE).unwrap(), Some((CHANNEL + 1, b"across".to_vec())));

        // All state is released.
        for client in [&mut steady, &mut again] {
            client.refresh(Duration::ZERO).unwrap();
        }
        workers.assert_empty();
        workers.stop();
    }
}

#[test]
fn ports_that_are_lent_when_a_worker_panics_can_be_had_again() {
    const PORTS: u16 = 8;
    // The kernel decides which worker gets which client, so each round lends different ports.
    for _ in 0..3 {
        let workers = Workers::start_with(few_ports(PORTS), Some(200));
        let allocate = |number: u16| {
            let mut client = workers.client(&format!("{number}"));
            client.allocate(Allocate::default()).map(|_| client)
        };
        let allocate_all = || -> Vec<_> { (0..PORTS).map(|number| allocate(number).unwrap()).collect() };
        let mut clients = allocate_all();
        assert_eq!(allocate(PORTS).err().and_then(|error| error.code()), Some(508));
        wait_until(|| {
            workers.client("anybody").mapped_address().unwrap();
            workers.panics() == 1
        });
        for client in &mut clients {
            if let Err(error) = client.refresh(Duration::ZERO) {
                assert_eq!(error.code(), Some(437), "its worker has panicked");
            }
        }
        wait_until(|| workers.allocations() == 0);
        for mut client in allocate_all() {
            client.refresh(Duration::ZERO).unwrap();
        }
        workers.assert_empty();
        workers.stop();
    }
}

#[test]
fn a_worker_that_has_panicked_knows_what_it_was_told() {
    let workers = Workers::start(Some(30));
    let accepted: Arc<AcceptedCredentials> = AuthSecret::new("another-secret-that-is-long-enough").unwrap().into();
    workers.tell(|| Mail::Accept(Arc::clone(&accepted)));
    let is_known = |code: u16| {
        let clients = (0..10).map(|number| workers.client(&format!("{number}")));
        clients
            .map(|mut client| client.allocate(Allocate::default()).unwrap_err().code())
            .all(|seen| seen == Some(code))
    };
    wait_until(|| is_known(401) && workers.panics() == 1);
    assert!(is_known(401), "the old secret is not accepted again");
    workers.stop();

    let workers = Workers::start(Some(30));
    workers.tell(|| Mail::Drain);
    let refused = || workers.client("a").allocate(Allocate::default()).unwrap_err().code();
    wait_until(|| refused() == Some(508) && workers.panics() == 1);
    for _ in 0..20 {
        assert_eq!(refused(), Some(508));
    }
    assert_eq!(stats::fold(&workers.published).draining, 2, "each has heard of it once");
    workers.stop();
}

#[test]
fn a_worker_that_panics_while_it_ends_its_allocations_ends_the_process() {
    let mut workers = Workers::start(None);
    workers.mail[0].send(Mail::FailForGood);
    wait_until(|| workers.threads[0].is_finished());
    let error = workers.threads.remove(0).join().unwrap().unwrap_err().to_string();
    assert!(error.contains("panicked, and again"), "{error}");
    workers.mail[1].send(Mail::Stop);
}

/// A range of `count` ports that nobody uses.
fn few_ports(count: u16) -> PortRange {
    let mut lowest = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        lowest = (lowest + count) & !1;
        let range = lowest..lowest + count;
        let sockets: Vec<_> = range.map_while(|port| UdpSocket::bind((HOST, port)).ok()).collect();
        if sockets.len() == usize::from(count) {
            return PortRange::new(lowest, lowest + count - 1).unwrap();
        }
    }
}
