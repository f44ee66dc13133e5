//! How the allocation ports are shared out.

use std::num::NonZeroUsize;

use relay_server::{PortRange, PortRangeError};

/// Cuts `range` into `workers` parts that touch. All but the first begin with an even port, so that no pair of an even port and
/// the next higher one is torn apart.
///
/// # Errors
///
/// When there are not two ports for every worker.
pub(crate) fn partition(range: PortRange, workers: NonZeroUsize) -> Result<Vec<PortRange>, PortRangeError> {
    let workers = u32::try_from(workers.get()).unwrap_or(u32::MAX);
    let (start, end) = (u32::from(range.lowest()), u32::from(range.highest()) + 1);
    let boundary = |index: u32| match index {
        0 => start,
        index if index == workers => end,
        index => (start + (end - start) * index / workers) & !1,
    };
    (0..workers).map(|index| PortRange::new(port(boundary(index)), port(boundary(index + 1) - 1))).collect()
}

fn port(number: u32) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_touch_and_keep_pairs_together() {
        for (lowest, highest) in [(49152, 65535), (49153, 65535), (1, 65535), (60000, 60031), (60001, 60033)] {
            for workers in 1..=16 {
                let range = PortRange::new(lowest, highest).unwrap();
                let parts = partition(range, NonZeroUsize::new(workers).unwrap()).unwrap();
                assert_eq!(parts.len(), workers);
                assert_eq!((parts[0].lowest(), parts[workers - 1].highest()), (lowest, highest));
                for pair in parts.windows(2) {
                    assert_eq!(pair[0].highest() + 1, pair[1].lowest(), "{parts:?}");
                    assert_eq!(pair[1].lowest() % 2, 0, "{parts:?}");
                }
            }
        }
    }

    #[test]
    fn parts_are_of_a_size() {
        let parts = partition(PortRange::DYNAMIC, NonZeroUsize::new(3).unwrap()).unwrap();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [5460, 5462, 5462]);
    }

    #[test]
    fn too_few_ports_are_refused() {
        partition(PortRange::new(7, 7).unwrap(), NonZeroUsize::new(4).unwrap()).unwrap_err();
    }
}
