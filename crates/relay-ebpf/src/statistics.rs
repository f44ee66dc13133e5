//! Counters of forwarded packets: the kernel's format, and exact differences for user space.

/// Counters of forwarded packets: of a CPU since the program was loaded (map `COUNTERS`, event `STATS`), or of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counters {
    /// Packets forwarded.
    pub packets: u64,
    /// Application data forwarded, in bytes, without any headers.
    pub bytes: u64,
}

const _: () = assert!(size_of::<Counters>() == 16 && align_of::<Counters>() == 8, "shared with the kernel program");

impl Counters {
    /// The size of an event in bytes.
    pub const SIZE: usize = size_of::<Self>();

    /// Reads an event: two numbers of 64 bits in the byte order of the processor.
    #[must_use]
    pub fn from_event(event: [u8; Self::SIZE]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = event;
        Self {
            packets: u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
            bytes: u64::from_ne_bytes([i, j, k, l, m, n, o, p]),
        }
    }
}

/// Turns the cumulative counters of many CPUs into differences that add up exactly, even if events are lost or late.
///
/// ```
/// use relay_ebpf::{Accumulator, Counters};
///
/// let mut accumulator = Accumulator::default();
/// let first = accumulator.record(0, Counters { packets: 1024, bytes: 100_000 });
/// // An event of CPU 0 was lost here; the next one makes up for it.
/// let second = accumulator.record(0, Counters { packets: 3072, bytes: 300_000 });
/// assert_eq!(first.bytes + second.bytes, 300_000);
/// // An event that comes after a later reading of the same CPU changes nothing.
/// assert_eq!(accumulator.record(0, Counters { packets: 2048, bytes: 200_000 }), Counters::default());
/// ```
#[cfg(feature = "loader")]
#[derive(Clone, Debug, Default)]
pub struct Accumulator {
    /// The latest counters of each CPU.
    latest: Vec<Counters>,
}

#[cfg(feature = "loader")]
impl Accumulator {
    /// What `cpu` has forwarded since it was last recorded, given its present counters.
    pub fn record(&mut self, cpu: usize, now: Counters) -> Counters {
        if self.latest.len() <= cpu {
            self.latest.resize(cpu + 1, Counters::default());
        }
        let before = &mut self.latest[cpu];
        // A CPU counts a packet before its bytes, so a reading in between lacks the bytes.
        if (now.packets, now.bytes) <= (before.packets, before.bytes) {
            return Counters::default();
        }
        let difference =
            Counters { packets: now.packets - before.packets, bytes: now.bytes.saturating_sub(before.bytes) };
        *before = now;
        difference
    }

    /// Like [`record`](Self::record), for all CPUs in order.
    pub fn record_all(&mut self, now: &[Counters]) -> Counters {
        now.iter().enumerate().fold(Counters::default(), |sum, (cpu, counters)| sum + self.record(cpu, *counters))
    }

    /// The total of everything recorded.
    #[must_use]
    pub fn total(&self) -> Counters {
        self.latest.iter().fold(Counters::default(), |sum, counters| sum + *counters)
    }
}

impl core::ops::Add for Counters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { packets: self.packets + other.packets, bytes: self.bytes + other.bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(packets: u64) -> Counters {
        Counters { packets, bytes: packets * 100 }
    }

    #[test]
    fn differences_add_up_whichever_events_are_lost() {
        for lost in 0..64_u64 {
            let mut accumulator = Accumulator::default();
            let mut sum = Counters::default();
            for event in (1..=6).filter(|event| lost >> (event - 1) & 1 == 0) {
                sum = sum + accumulator.record(usize::from(event % 2 == 0), counters(event * 10));
            }
            sum = sum + accumulator.record_all(&[counters(70), counters(80)]);
            assert_eq!(sum, counters(150), "lost events {lost:#b}");
            assert_eq!(accumulator.total(), counters(150));
        }
    }

    #[test]
    fn a_reading_between_a_packet_and_its_bytes_loses_nothing() {
        let mut accumulator = Accumulator::default();
        accumulator.record(0, Counters { packets: 2, bytes: 100 });
        assert_eq!(accumulator.record(0, counters(2)), Counters { packets: 0, bytes: 100 });
        assert_eq!(accumulator.total(), counters(2));
    }

    #[test]
    fn events_read_after_a_later_reading_count_nothing() {
        let mut accumulator = Accumulator::default();
        accumulator.record_all(&[counters(10), counters(20)]);
        assert_eq!(accumulator.record(1, counters(15)), Counters::default());
        assert_eq!(accumulator.record(1, counters(21)), counters(1));
    }

    #[test]
    fn events_are_read_as_the_kernel_writes_them() {
        let mut event = [0; Counters::SIZE];
        event[..8].copy_from_slice(&7_u64.to_ne_bytes());
        event[8..].copy_from_slice(&9_u64.to_ne_bytes());
        assert_eq!(Counters::from_event(event), Counters { packets: 7, bytes: 9 });
    }
}
