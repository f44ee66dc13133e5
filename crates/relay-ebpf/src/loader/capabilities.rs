//! The capabilities that the program needs.

use std::io;

/// A thread's capabilities (`capabilities(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(u64);

const NET_ADMIN: u64 = 1 << 12;
/// Includes [`BPF`] and [`PERFMON`], which were part of it before Linux 5.8.
const SYS_ADMIN: u64 = 1 << 21;
const PERFMON: u64 = 1 << 38;
const BPF: u64 = 1 << 39;

/// `_LINUX_CAPABILITY_VERSION_3`: sets of 64 bits, in two halves.
const VERSION_3: u32 = 0x2008_0522;

/// `struct __user_cap_data_struct`: one half of a thread's sets.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    _permitted: u32,
    _inheritable: u32,
}

impl Capabilities {
    /// Bit `n` is set if capability `n` is there, as in `CapEff` of `/proc/self/status`.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The effective capabilities of the calling thread. In a user namespace other than the first, they may have no effect.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn effective() -> io::Result<Self> {
        // The second number is a thread id; 0 stands for the calling thread.
        let mut header = [VERSION_3, 0];
        let mut halves = [Half::default(); 2];
        // SAFETY: `header` is a `struct __user_cap_header_struct`, which the kernel may write to; for this version it writes two
        // `struct __user_cap_data_struct`, which `halves` has room for. Both outlive the call.
        let result = unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), halves.as_mut_ptr()) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        let [low, high] = halves;
        Ok(Self(u64::from(low.effective) | u64::from(high.effective) << 32))
    }

    /// The names of missing capabilities that loading and attaching the program needs, and with `statistics` also opening its event
    /// buffers.
    #[must_use]
    pub fn lacking(self, statistics: bool) -> Vec<&'static str> {
        [
            (true, BPF | SYS_ADMIN, "CAP_BPF"),
            (true, NET_ADMIN, "CAP_NET_ADMIN"),
            (statistics, PERFMON | SYS_ADMIN, "CAP_PERFMON"),
        ]
        .into_iter()
        .filter(|(needed, enough, _)| *needed && self.0 & enough == 0)
        .map(|(_, _, name)| name)
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_them_is_needed() {
        let lacking = |bits, statistics| Capabilities::from_bits(bits).lacking(statistics);
        assert_eq!(lacking(0, true), ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"]);
        assert_eq!(lacking(0, false), ["CAP_BPF", "CAP_NET_ADMIN"]);
        assert_eq!(lacking(BPF | NET_ADMIN, true), ["CAP_PERFMON"]);
        assert_eq!(lacking(SYS_ADMIN, true), ["CAP_NET_ADMIN"]);
        for enough in [BPF | NET_ADMIN | PERFMON, SYS_ADMIN | NET_ADMIN] {
            assert!(lacking(enough, true).is_empty());
        }
    }

    #[test]
    fn the_kernel_tells_what_it_shows() {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let shown = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
        let shown = u64::from_str_radix(shown.trim(), 16).unwrap();
        assert_eq!(Capabilities::effective().unwrap(), Capabilities::from_bits(shown));
    }
}
