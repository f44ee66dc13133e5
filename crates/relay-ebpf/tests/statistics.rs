//! The counters agree with the forwarded packets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use relay_ebpf::{Accumulator, Config, Counters, Encapsulation};
use support::{cases, kernel::Kernel, kernel::XDP_TX};

/// Relays `packets` packets of different sizes. Returns their totals.
fn relay(kernel: &Kernel, packets: u64) -> Counters {
    let up = cases::flow(Encapsulation::Channel(0x4001), Encapsulation::Bare, true, true);
    let down = cases::flow(Encapsulation::Bare, Encapsulation::Channel(0x7ffe), false, true);
    let frames: Vec<_> = [(up, 0), (up, 1), (down, 200), (up, 1200), (down, 77)]
        .into_iter()
        .map(|(flow, length)| (cases::arriving(&flow, &vec![5; length]).build(), length as u64))
        .collect();
    for flow in [up, down] {
        kernel.offload.install(&flow).unwrap();
    }
    let mut sum = Counters::default();
    for (frame, length) in frames.iter().cycle().take(usize::try_from(packets).unwrap()) {
        assert_eq!(kernel.offload.run(frame, 1).unwrap().action, XDP_TX);
        sum = sum + Counters { packets: 1, bytes: *length };
    }
    sum
}

#[test]
fn totals_are_exact_after_a_million_packets_and_a_slow_reader() {
    const ROUNDS: u64 = 20;
    const PACKETS: u64 = 1_000_000;
    // An event for each packet, which is far more than the buffers hold between two readings.
    let config = Config { packets_per_event: 1, ..cases::config() };
    let Some(kernel) = Kernel::load(&config) else { return };
    let mut readers = kernel.offload.take_readers();
    assert!(!readers.is_empty());
    let mut accumulator = Accumulator::default();
    let (mut sent, mut reported, mut lost) = (Counters::default(), Counters::default(), 0);
    for _ in 0..ROUNDS {
        sent = sent + relay(&kernel, PACKETS / ROUNDS);
        for reader in &mut readers {
            let reading = reader.read();
            lost += reading.lost;
            if let Some(latest) = reading.latest {
                reported = reported + accumulator.record(reader.cpu(), latest);
            }
        }
        assert!(reported.bytes <= sent.bytes, "more was reported than was relayed");
    }
    assert_eq!(sent.packets, PACKETS);
    assert!(lost > 0, "the reader was not slow enough to lose an event");
    reported = reported + accumulator.record_all(&kernel.offload.counters().unwrap());
    assert_eq!(reported, sent);
    assert_eq!(accumulator.total(), sent);
    eprintln!("{PACKETS} packets, {} bytes, {lost} events lost, none missing in the total", sent.bytes);
}

#[test]
fn events_come_once_per_batch_and_are_cumulative() {
    let Some(kernel) = Kernel::load(&Config { packets_per_event: 64, ..cases::config() }) else { return };
    let mut readers = kernel.offload.take_readers();
    let sent = relay(&kernel, 10_000);
    let reported = readers
        .iter_mut()
        .map(|reader| reader.read())
        .inspect(|reading| assert_eq!(reading.lost, 0))
        .filter_map(|reading| reading.latest)
        .inspect(|latest| assert_eq!(latest.packets % 64, 0))
        .fold(Counters::default(), |sum, latest| sum + latest);
    let missing = sent.packets - reported.packets;
    assert!(missing < 64 * readers.len() as u64, "{missing} packets are not reported");
    // No event is read twice, and readers can be taken only once.
    assert!(readers.iter_mut().all(|reader| reader.read().latest.is_none()));
    assert!(kernel.offload.take_readers().is_empty());
}

#[test]
fn without_statistics_nothing_is_counted() {
    let Some(kernel) = Kernel::load(&Config { statistics: false, ..cases::config() }) else { return };
    assert!(kernel.offload.take_readers().is_empty());
    relay(&kernel, 100);
    assert!(kernel.offload.counters().unwrap().iter().all(|counters| *counters == Counters::default()));
}

#[test]
fn every_flow_has_figures_of_its_own_which_its_removal_tells() {
    let Some(kernel) = Kernel::load(&cases::config()) else { return };
    let up = cases::flow(Encapsulation::Channel(0x4001), Encapsulation::Bare, true, true);
    let down = cases::flow(Encapsulation::Bare, Encapsulation::Channel(0x7ffe), false, true);
    assert_eq!(kernel.offload.remove(&up.key()).unwrap(), None, "it was not there");
    relay(&kernel, 100);
    // Of every five packets, three go up, with 0, 1 and 1,200 bytes, and two go down, with 200 and 77 bytes.
    let (sent_up, sent_down) = (Counters { packets: 60, bytes: 20 * 1_201 }, Counters { packets: 40, bytes: 20 * 277 });
    assert_eq!(kernel.offload.forwarded(&up.key()), Some(sent_up));
    assert_eq!(kernel.offload.remove(&up.key()).unwrap(), Some(sent_up));
    assert_eq!(kernel.offload.forwarded(&up.key()), None);
    assert_eq!(kernel.offload.remove(&down.key()).unwrap(), Some(sent_down));
    kernel.offload.install(&up).unwrap();
    assert_eq!(kernel.offload.remove(&up.key()).unwrap(), Some(Counters::default()), "it begins at zero");
}

#[test]
fn two_processors_that_have_one_flow_lose_none_of_its_packets() {
    const CALLS: u64 = 2_000;
    let Some(kernel) = Kernel::load(&cases::config()) else { return };
    let up = cases::flow(Encapsulation::Channel(0x4001), Encapsulation::Bare, true, true);
    kernel.offload.install(&up).unwrap();
    let frame = cases::arriving(&up, &[5; 10]).build();
    let calls = || (0..CALLS).for_each(|_| assert_eq!(kernel.offload.run(&frame, 1).unwrap().action, XDP_TX));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(calls);
        }
    });
    let packets = 4 * CALLS;
    assert_eq!(kernel.offload.remove(&up.key()).unwrap(), Some(Counters { packets, bytes: 10 * packets }));
}
