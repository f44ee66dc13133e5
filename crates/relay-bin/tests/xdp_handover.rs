//! A new process takes over from one that relays in the kernel, and relays in the kernel, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod xdp_net;

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
};

use tempfile::TempDir;
use test_support::{
    http,
    relay::{self, Relay, allocate_and_bind},
    wait_until,
};
use turn_client::{Allocate, BlockingClient, Request, decode_data_indication, encode_send_indication};
use xdp_net::{
    INTERFACE, LISTEN_PORT, Mode, Net, PEER, RELAY, V4, address, indications,
    peer::{LARGEST, LAST, Peer, exchange, payload},
    relay_command,
    summary::{Summary, Traffic},
};

const CHANNEL: u16 = 0x4000;
const USER: &str = "talker";
const HANDOVERS: u64 = 3;

/// How many packets a client sends before it looks whether there was a handover.
const ROUND: u32 = 32;
/// How many packets are compared with the counters.
const PACKETS: u32 = 200;

const HEALTH: [&str; 2] = ["--health-check-addr", "127.0.0.1:8080"];

/// In the line that says that the program is attached.
const ATTACHED: &str = "offloading to XDP";

fn start(net: &Net, mut command: Command) -> Relay {
    net.relay.within(move || Relay::spawn(&mut command, LISTEN_PORT))
}

/// The relay's figures.
#[derive(Clone, Copy, Debug)]
struct Metrics {
    /// Bytes.
    in_kernel: u64,
    /// Bytes.
    in_user_space: u64,
    /// Flows in the kernel.
    flows: u64,
}

impl Metrics {
    fn of(net: &Net) -> Self {
        let (_, text) = net.relay.within(|| http::get(HEALTH[1].parse().unwrap(), "/metrics"));
        let value = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            value.unwrap_or_else(|| panic!("{name} in {text}")).parse().unwrap()
        };
        Self {
            in_kernel: value("data_relayed_ebpf_bytes_total"),
            in_user_space: value("data_relayed_userspace_bytes_total"),
            flows: value("ebpf_flows"),
        }
    }

    /// Bytes in the kernel and in user space since `before`.
    #[track_caller]
    fn since(self, before: Self) -> (u64, u64) {
        let more = |now: u64, then: u64| now.checked_sub(then).unwrap_or_else(|| panic!("{before:?}, then {self:?}"));
        (more(self.in_kernel, before.in_kernel), more(self.in_user_space, before.in_user_space))
    }
}

/// Has a new process take over, and waits until the kernel has `flows` flows for it.
fn hand_over(net: &Net, relay: &Relay, flows: u64) {
    let before = relay.logged(ATTACHED);
    relay.signal("HUP");
    wait_until(|| relay.logged(ATTACHED) == before + 1);
    wait_until(|| Metrics::of(net).flows == flows);
}

/// A client that exchanges packets with a peer.
struct Call {
    client: BlockingClient,
    peer: Peer,
    /// How many packets the client has sent. As many have come back.
    packets: u32,
    /// The bytes in both directions.
    bytes: u64,
}

impl Call {
    fn begin(net: &Net) -> Self {
        let peer = Peer::start(&net.peer, address(PEER[V4], 0));
        let mut client = net.client(V4, USER);
        allocate_and_bind(&mut client, CHANNEL, peer.address);
        Self { client, peer, packets: 0, bytes: 0 }
    }

    /// Exchanges `packets` packets. None may be lost.
    fn go_on(&mut self, packets: u32) {
        self.bytes += exchange(&mut self.client, CHANNEL, self.packets..self.packets + packets);
        self.packets += packets;
    }

    /// Exchanges packets until told to stop, and shows how many.
    fn go_on_until(&mut self, is_over: &AtomicBool, packets: &AtomicU32) {
        while !is_over.load(Ordering::Relaxed) {
            self.go_on(ROUND);
            packets.store(self.packets, Ordering::Relaxed);
        }
    }

    /// The relay's figures, once they have all bytes of this call. Workers publish their counters a moment later.
    fn counted(&self, net: &Net) -> Metrics {
        wait_until(|| {
            let now = Metrics::of(net);
            now.in_kernel + now.in_user_space == self.bytes
        });
        Metrics::of(net)
    }

    /// Exchanges packets: how many bytes of them went through the kernel, and how many through user space.
    fn measure(&mut self, net: &Net) -> (u64, u64) {
        let before = self.counted(net);
        self.go_on(PACKETS);
        self.counted(net).since(before)
    }

    /// Exchanges packets, which the kernel must forward.
    fn goes_through_the_kernel(&mut self, net: &Net) {
        let (in_kernel, in_user_space) = self.measure(net);
        let tolerance = Summary::tolerance(2 * u64::from(PACKETS)) * u64::try_from(LARGEST).unwrap();
        assert!(in_user_space <= tolerance, "{in_user_space} bytes in user space, {in_kernel} in the kernel");
    }

    /// Ends the call and then the relay, whose log this is. All packets have arrived, and all are counted; but in each direction `uncounted`
    /// packets may be missing in the account.
    fn end(mut self, relay: Relay, uncounted: u64) -> String {
        let mut numbers = self.peer.end(&mut self.client, CHANNEL);
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..self.packets), "each packet arrives once");
        let log = relay.stop().log;
        let (there, back) = (u64::from(self.packets) + 1, u64::from(self.packets));
        let sent = Traffic { packets: there + back, bytes: self.bytes + u64::try_from(payload(LAST).len()).unwrap() };
        let summary = Summary::of(&log);
        assert_eq!(summary.in_kernel() + summary.in_user_space(), sent, "{summary:?}");
        let is_account = |line: &&str| line.contains("allocation ended") && line.contains(USER);
        let accounts: Vec<_> = log.lines().filter(is_account).collect();
        let [account] = accounts[..] else { panic!("{accounts:?}") };
        assert!(account.contains("complete=true"), "{account}");
        for (way, packets) in [("to_peers_packets", there), ("from_peers_packets", back)] {
            let counted = figure(account, way) + figure(account, &format!("kernel_{way}"));
            assert!((packets - uncounted..=packets).contains(&counted), "{packets} {way}: {account}");
        }
        log
    }
}

/// A figure in a line of the log.
fn figure(line: &str, name: &str) -> u64 {
    let mut words = line.split_whitespace();
    let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("{name} in {line}")).parse().unwrap()
}

/// Sets its flag when it is dropped, so that a test that fails ends.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// In the network stack, attaching a program disturbs nothing. Drivers may lose packets of that moment.
#[test]
fn no_packet_is_lost_while_processes_that_relay_in_the_kernel_hand_over() {
    for interface in [INTERFACE, "auto"] {
        let Some(net) = Net::new(Mode::Generic) else { return };
        let mut command = relay_command(RELAY[V4], &HEALTH);
        command.args(["--ebpf-offloading", interface, "--ebpf-attach-mode", "generic"]);
        let relay = start(&net, command);
        let mut call = Call::begin(&net);
        let (is_over, packets) = (AtomicBool::new(false), AtomicU32::new(0));
        thread::scope(|scope| {
            let over = Over(&is_over);
            let talking = scope.spawn(|| call.go_on_until(&is_over, &packets));
            let wait_for_more = || {
                let before = packets.load(Ordering::Relaxed);
                wait_until(|| packets.load(Ordering::Relaxed) >= before + 50 * ROUND);
                Metrics::of(&net)
            };
            let mut before = wait_for_more();
            for _ in 0..HANDOVERS {
                hand_over(&net, &relay, 2);
                let handed_over = Metrics::of(&net);
                // Nothing that was counted is forgotten.
                handed_over.since(before);
                before = wait_for_more();
                let (in_kernel, in_user_space) = before.since(handed_over);
                // Packets that waited for the new process are counted a moment later.
                assert!(
                    in_user_space <= in_kernel / 5,
                    "{in_user_space} bytes in user space, {in_kernel} in the kernel"
                );
            }
            drop(over);
            talking.join().unwrap();
        });
        call.goes_through_the_kernel(&net);
        // The account may lack a packet that another CPU forwards while its flow is removed.
        call.end(relay, HANDOVERS);
    }
}

#[test]
fn the_driver_forwards_for_each_process_and_all_is_counted() {
    let Some(net) = Net::new(Mode::Driver) else { return };
    let relay = net.start_relay(Mode::Driver, &HEALTH);
    let mut call = Call::begin(&net);
    call.goes_through_the_kernel(&net);
    for _ in 0..HANDOVERS {
        hand_over(&net, &relay, 2);
        call.goes_through_the_kernel(&net);
    }
    call.end(relay, 0);
    assert!(!net.has_program());
}

#[test]
fn what_goes_by_indications_is_relayed_in_the_kernel_after_a_handover_too() {
    const ROUNDS: u64 = 100;
    const DATA: &[u8] = b"some data";
    let Some(net) = Net::new(Mode::Driver) else { return };
    let relay = net.start_relay(Mode::Driver, &[&["--workers", "1"][..], &HEALTH].concat());
    let (mut client, socket) = indications::client(&net);
    let talk = |peer: &UdpSocket, at: SocketAddr| {
        let mut buffer = [0; 2_048];
        for _ in 0..ROUNDS {
            socket.send(&encode_send_indication(at, DATA, 7, true)).unwrap();
            let (length, relayed) = peer.recv_from(&mut buffer).expect("data from the client");
            assert_eq!(&buffer[..length], DATA);
            peer.send_to(DATA, relayed).unwrap();
            let length = socket.recv(&mut buffer).expect("a Data indication");
            assert_eq!(decode_data_indication(&buffer[..length]), Some((at, DATA.to_vec())));
        }
    };
    let (old, at_old) = indications::peer(&net);
    client.request(Request::CreatePermission { peers: vec![at_old] }).unwrap();
    talk(&old, at_old);
    // The new process knows the peer: its flows are there before the next packet.
    hand_over(&net, &relay, 2);
    talk(&old, at_old);
    // It gets to know others of the permitted address.
    let (new, at_new) = indications::peer(&net);
    talk(&new, at_new);
    wait_until(|| Metrics::of(&net).flows == 4);
    let log = relay.stop().log;
    let summary = Summary::of(&log);
    let sent = 3 * 2 * ROUNDS;
    let bytes = sent * u64::try_from(DATA.len()).unwrap();
    assert_eq!(summary.in_kernel() + summary.in_user_space(), Traffic { packets: sent, bytes }, "{summary:?}");
    // The first packets to and from each of the two peers may come before the flow is installed.
    assert!(summary.in_user_space().packets <= 4 + Summary::tolerance(sent), "{summary:?}");
}

/// The program of a relay, which can be replaced while it runs.
struct Program(TempDir);

impl Program {
    fn new() -> Self {
        let this = Self(TempDir::new().unwrap());
        this.become_relay();
        this
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("relay")
    }

    /// A relay with one worker. It is told of the kernel by its environment, which a script can change.
    fn start(&self, net: &Net) -> Relay {
        let relay = relay_command(RELAY[V4], &[&["--workers", "1"][..], &HEALTH].concat());
        let mut command = Command::new(self.path());
        command.env_clear().envs(relay.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.args(relay.get_args()).envs([("EBPF_OFFLOADING", INTERFACE), ("EBPF_ATTACH_MODE", "generic")]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        start(net, command)
    }

    /// Replaces the program by a copy of the relay.
    fn become_relay(&self) {
        let new = self.0.path().join("new");
        fs::copy(relay::program(), &new).unwrap();
        fs::rename(new, self.path()).unwrap();
    }

    /// Replaces it by a script that ends with these commands, in which `$relay` is the relay.
    fn become_script(&self, commands: &str) {
        let new = self.0.path().join("new");
        fs::write(&new, format!("#!/bin/sh\nrelay='{}'\n{commands}\n", relay::program().display())).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, self.path()).unwrap();
    }
}

#[test]
fn a_new_process_that_does_not_take_over_leaves_the_old_one_relaying_in_the_kernel() {
    const OTHERS: usize = 150;
    let Some(net) = Net::new(Mode::Generic) else { return };
    let program = Program::new();
    let relay = program.start(&net);
    let mut call = Call::begin(&net);
    let allocated = |number| {
        let mut other = net.client(V4, &format!("other-{number}"));
        other.allocate(Allocate::default()).unwrap();
        other
    };
    // Their sockets stay open: another client must not get the port of one before it.
    let _others: Vec<BlockingClient> = (0..OTHERS).map(allocated).collect();
    call.goes_through_the_kernel(&net);
    let mut failures = 0;
    let mut fails = |call: &mut Call, why: &[&str]| {
        relay.signal("HUP");
        failures += 1;
        wait_until(|| relay.logged("does not take over, this one serves on") == failures);
        assert!(why.iter().any(|why| relay.has_logged(why)), "{why:?}");
        wait_until(|| Metrics::of(&net).flows == 2);
        call.goes_through_the_kernel(&net);
    };
    program.become_script("exit 3");
    fails(&mut call, &["exit status: 3"]);
    // It may not have the files of all allocations. It gets them when the old process has removed all flows.
    program.become_script("ulimit -n 128; exec \"$relay\" \"$@\"");
    let late = ["cannot send the state of worker 0", "it does not take the state", "it does not restore the state"];
    fails(&mut call, &late);

    program.become_relay();
    hand_over(&net, &relay, 2);
    call.goes_through_the_kernel(&net);
    call.end(relay, 0);
}

#[test]
fn an_interface_that_cannot_be_had_after_a_handover_is_an_error_and_user_space_relays() {
    let Some(net) = Net::new(Mode::Generic) else { return };
    let program = Program::new();
    let relay = program.start(&net);
    let mut call = Call::begin(&net);
    call.goes_through_the_kernel(&net);
    program.become_script("EBPF_OFFLOADING=eth9 exec \"$relay\" \"$@\"");
    relay.signal("HUP");
    wait_until(|| relay.has_logged("relaying in user space after the handover"));
    assert!(!net.has_program());
    let (in_kernel, in_user_space) = call.measure(&net);
    assert!(in_kernel == 0 && in_user_space > 0, "{in_kernel} bytes in the kernel");
    let log = call.end(relay, 0);
    let error = log.lines().find(|line| line.contains("relaying in user space after the handover")).unwrap();
    assert!(error.contains("ERROR") && error.contains("EBPF_OFFLOADING") && error.contains("\"eth9\""), "{error}");
}
