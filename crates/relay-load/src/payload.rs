//! What is sent: every byte of a payload is known to whoever receives it.

/// What a payload says: lane (4 bytes), sequence number (8), time of sending (8), all big-endian, behind a marker.
pub(crate) const HEADER: usize = 24;

const MARKER: [u8; 4] = *b"RLOD";

/// Longer than any payload and its offset.
const PATTERN_LENGTH: usize = 65_536 + PERIOD;
/// How many offsets into the pattern there are.
const PERIOD: usize = 251;

/// The bytes that payloads are filled up with, from an offset that depends on lane and sequence number.
pub(crate) struct Pattern(Vec<u8>);

/// What a payload said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) lane: u32,
    pub(crate) sequence: u64,
    /// In nanoseconds of this process's clock.
    pub(crate) sent: u64,
}

impl Pattern {
    pub(crate) fn new() -> Self {
        // A xorshift generator: no run of it repeats within the period.
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let bytes = (0..PATTERN_LENGTH).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()[0]
        });
        Self(bytes.collect())
    }

    fn fill(&self, stamp: &Stamp, length: usize) -> &[u8] {
        let offset = stamp.sequence.wrapping_mul(31).wrapping_add(u64::from(stamp.lane)) % PERIOD as u64;
        let offset = usize::try_from(offset).unwrap_or_default();
        &self.0[offset..offset + length]
    }

    /// Writes a payload over all of `payload`, which is at least [`HEADER`] bytes long.
    pub(crate) fn write(&self, stamp: &Stamp, payload: &mut [u8]) {
        let (header, rest) = payload.split_at_mut(HEADER);
        header[..4].copy_from_slice(&MARKER);
        header[4..8].copy_from_slice(&stamp.lane.to_be_bytes());
        header[8..16].copy_from_slice(&stamp.sequence.to_be_bytes());
        header[16..24].copy_from_slice(&stamp.sent.to_be_bytes());
        rest.copy_from_slice(self.fill(stamp, rest.len()));
    }

    /// What `payload` says, or `None` if any byte of it is not as it was sent.
    pub(crate) fn read(&self, payload: &[u8], size: usize) -> Option<Stamp> {
        let (header, rest) = payload.split_at_checked(HEADER)?;
        let (marker, header) = header.split_first_chunk()?;
        let (lane, header) = header.split_first_chunk()?;
        let (sequence, header) = header.split_first_chunk()?;
        let stamp = Stamp {
            lane: u32::from_be_bytes(*lane),
            sequence: u64::from_be_bytes(*sequence),
            sent: u64::from_be_bytes(header.try_into().ok()?),
        };
        (*marker == MARKER && payload.len() == size && rest == self.fill(&stamp, rest.len())).then_some(stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_change_is_seen() {
        let pattern = Pattern::new();
        let stamp = Stamp { lane: 7, sequence: 1_000_003, sent: 5 };
        let mut payload = vec![0; 200];
        pattern.write(&stamp, &mut payload);
        assert_eq!(pattern.read(&payload, 200), Some(stamp));
        assert_eq!(pattern.read(&payload[..199], 200), None);
        assert_eq!(pattern.read(&payload, 201), None);
        // The time stands for itself.
        for index in (0..payload.len()).filter(|index| !(16..24).contains(index)) {
            let mut changed = payload.clone();
            changed[index] ^= 1;
            assert_ne!(pattern.read(&changed, 200), Some(stamp), "{index}");
        }
    }

    #[test]
    fn the_longest_fits() {
        let pattern = Pattern::new();
        let mut payload = vec![0; 65_507];
        for sequence in 0..300 {
            let stamp = Stamp { lane: 0, sequence, sent: 0 };
            pattern.write(&stamp, &mut payload);
            assert_eq!(pattern.read(&payload, payload.len()), Some(stamp));
        }
    }
}
