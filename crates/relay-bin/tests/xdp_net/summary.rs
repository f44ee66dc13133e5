//! Parses the last line of a relay's log.

/// Packets and bytes of payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

impl std::ops::Add for Traffic {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { packets: self.packets + other.packets, bytes: self.bytes + other.bytes }
    }
}

/// The last line of a relay's log.
#[derive(Debug)]
pub(crate) struct Summary<'a> {
    line: &'a str,
}

impl<'a> Summary<'a> {
    pub(crate) fn of(log: &'a str) -> Self {
        let line = log.lines().rev().find(|line| line.contains("relay stopped: "));
        let line = line.unwrap_or_else(|| panic!("the relay did not sum up:\n{log}"));
        // For people, with `--nocapture`.
        println!("{line}");
        Self { line }
    }

    pub(crate) fn in_kernel(&self) -> Traffic {
        self.traffic(" relayed in the kernel")
    }

    pub(crate) fn in_user_space(&self) -> Traffic {
        self.traffic(" relayed to peers") + self.traffic(" to clients")
    }

    /// Parses `<number> packets (<number> bytes)` before `marker`.
    fn traffic(&self, marker: &str) -> Traffic {
        let (before, _) = self.line.split_once(marker).unwrap_or_else(|| panic!("no {marker:?} in {:?}", self.line));
        let mut words = before.rsplit([' ', '(', ')']).filter_map(|word| word.parse().ok());
        let (bytes, packets) = (words.next().unwrap(), words.next().unwrap());
        Traffic { packets, bytes }
    }

    /// How many packets the program has passed to user space for this reason.
    pub(crate) fn passed(&self, reason: &str) -> u64 {
        let Some((before, _)) = self.line.split_once(&format!(" passed ({reason})")) else { return 0 };
        before.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap()
    }

    pub(crate) fn flows_not_taken(&self) -> u64 {
        let Some((before, _)) = self.line.split_once(" flows not taken") else { return 0 };
        before.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap()
    }

    /// How many of `packets` may be passed to user space although there is a flow. One in 65,536 has a complete checksum that looks
    /// like a partial one; the number varies.
    pub(crate) fn tolerance(packets: u64) -> u64 {
        5 + packets / 4096
    }
}
