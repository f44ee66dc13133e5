//! Payloads whose every byte the receiver can check.

/// The length of a payload's header: marker (4 bytes), lane (4), sequence number (8), time of sending (8), big-endian.
pub(crate) const HEADER: usize = 24;

const MARKER: [u8; 4] = *b"RLOD";

/// Longer than any payload with its offset.
const PATTERN_LENGTH: usize = 65_536 + PERIOD;
/// The number of offsets into the pattern.
const PERIOD: usize = 251;

/// The bytes that fill payloads. The offset depends on lane and sequence number.
pub(crate) struct Pattern(Vec<u8>);

/// The header of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) lane: u32,
    pub(crate) sequence: u64,
    /// In nanoseconds of this process's clock.
    pub(crate) sent: u64,
}

impl Pattern {
    pub(crate) fn new() -> Self {
        // A xorshift generator: no part of its output repeats within the period.
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

    /// The header of `payload`; `None` if any byte differs from what was sent.
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
        // A changed time cannot be detected.
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
