//! Divides the allocation ports among the shards.

use std::num::NonZeroUsize;

use relay_server::PortRange;

/// Divides `range` into `workers` adjacent parts. All but the first begin at an even port, so that no pair of an even port and the
/// next higher one is divided. With too few ports, some parts are [empty](PortRange::EMPTY): those workers borrow.
pub(crate) fn partition(range: PortRange, workers: NonZeroUsize) -> Vec<PortRange> {
    let workers = u32::try_from(workers.get()).unwrap_or(u32::MAX);
    let (start, end) = (u32::from(range.lowest()), u32::from(range.highest()) + 1);
    let boundary = |index: u32| match index {
        0 => start,
        index if index == workers => end,
        index => ((start + (end - start) * index / workers) & !1).max(start),
    };
    let part = |index: u32| PortRange::new(port(boundary(index)), port(boundary(index + 1) - 1));
    (0..workers).map(|index| part(index).unwrap_or(PortRange::EMPTY)).collect()
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
                let parts = partition(range, NonZeroUsize::new(workers).unwrap());
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
        let parts = partition(PortRange::DYNAMIC, NonZeroUsize::new(3).unwrap());
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [5460, 5462, 5462]);
    }

    #[test]
    fn every_port_is_in_one_part_however_few_there_are() {
        for (lowest, highest) in [(7, 7), (8, 9), (49_152, 49_155), (49_151, 49_155), (1, 1), (65_535, 65_535)] {
            for workers in 1..=32 {
                let range = PortRange::new(lowest, highest).unwrap();
                let parts = partition(range, NonZeroUsize::new(workers).unwrap());
                assert_eq!(parts.len(), workers);
                let all = parts.iter().flat_map(|part| part.iter());
                assert!(all.eq(range.iter()), "{range} for {workers}: {parts:?}");
            }
        }
    }
}
