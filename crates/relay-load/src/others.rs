//! Measures the CPU time of other programs, which disturbs measurements of the whole machine.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::{Context as _, Result};

use crate::{clock, process};

/// The CPU time of all programs except this one and its children, and of the hypervisor.
#[derive(Clone, Debug, Default)]
pub(crate) struct Others {
    cpu: BTreeMap<u32, Duration>,
    /// How many threads have started since the machine's boot.
    begun: u64,
    /// The time in which the hypervisor did not run this machine's CPUs.
    stolen: Duration,
    at: Duration,
}

impl Others {
    /// # Errors
    ///
    /// When /proc cannot be read.
    pub(crate) fn read() -> Result<Self> {
        let own = std::process::id();
        let mut cpu = BTreeMap::new();
        for entry in fs::read_dir("/proc").context("cannot read /proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            // Kernel threads have no program. Their work is part of what is measured.
            let is_program = fs::read_link(format!("/proc/{pid}/exe")).is_ok();
            if pid != own && is_program && process::parent(pid) != Some(own) {
                // The process may have ended meanwhile.
                cpu.insert(pid, process::cpu(pid).unwrap_or_default());
            }
        }
        let stat = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        let number = |name: &str, index: usize| {
            let line = stat.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().nth(index)?.parse::<u64>().ok()
        };
        let begun = number("processes ", 0).unwrap_or_default();
        let stolen = process::ticks(number("cpu ", 7).unwrap_or_default());
        Ok(Self { cpu, begun, stolen, at: clock::now() })
    }

    /// The CPU time that they took since `before`, as a part of one CPU, from 0 on. At least 1 if a program was started, since that
    /// may have taken any time and ended.
    pub(crate) fn taken_since(&self, before: &Self) -> f64 {
        let had = |pid| before.cpu.get(pid).copied().unwrap_or_default();
        let taken: Duration = self.cpu.iter().map(|(pid, cpu)| cpu.saturating_sub(had(pid))).sum();
        let taken = taken + self.stolen.saturating_sub(before.stolen);
        let part = taken.as_secs_f64() / self.at.saturating_sub(before.at).as_secs_f64().max(1e-9);
        if self.begun > before.begun { part.max(1.0) } else { part }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn others(cpu: &[(u32, u64)], begun: u64, stolen: u64, at: u64) -> Others {
        let millis = Duration::from_millis;
        let cpu = cpu.iter().map(|(pid, ran)| (*pid, millis(*ran))).collect();
        Others { cpu, begun, stolen: millis(stolen), at: millis(at) }
    }

    #[test]
    fn what_others_take_is_added_up() {
        let before = others(&[(1, 100), (2, 500)], 7, 10, 1000);
        let taken = |cpu: &[(u32, u64)], begun, stolen| others(cpu, begun, stolen, 2000).taken_since(&before);
        assert!(taken(&[(1, 100), (2, 500)], 7, 10).abs() < 1e-9);
        assert!((taken(&[(1, 150), (2, 600), (3, 50)], 7, 60) - 0.25).abs() < 1e-9);
        // One program has ended; another was started.
        assert!(taken(&[(1, 100)], 7, 10).abs() < 1e-9);
        assert!((taken(&[(1, 100)], 8, 10) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn this_program_is_not_among_others() {
        let others = Others::read().unwrap();
        assert!(!others.cpu.contains_key(&std::process::id()) && !others.cpu.is_empty());
    }
}
