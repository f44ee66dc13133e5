//! Runs the kernel build of the rewrite, with BPF_PROG_TEST_RUN.

use relay_ebpf::{Config, OffloadError, Reason, Run, XdpProgram};

use test_support::{capability::available, namespace};

use super::{Outcome, Runner};

pub const XDP_PASS: u32 = 2;
pub const XDP_TX: u32 = 3;
pub const XDP_REDIRECT: u32 = 4;

/// Whether the program could not be loaded because this machine or this process lacks something.
pub const fn is_for_lack_of_means(error: &OffloadError) -> bool {
    matches!(error, OffloadError::NoProgram(_) | OffloadError::NotPermitted(..) | OffloadError::Kernel(_))
}

/// The program in the kernel, in the test's own network namespace.
pub struct Kernel {
    pub offload: XdpProgram,
    reasons: Vec<u64>,
}

impl Kernel {
    /// Loads the program. Prints the reason and returns `None` if that is not possible.
    pub fn load(config: &Config) -> Option<Self> {
        available("xdp", namespace::enter())?;
        let loaded = match XdpProgram::load(config) {
            Err(error) if !is_for_lack_of_means(&error) => panic!("{error}: {error:?}"),
            loaded => loaded,
        };
        available("xdp", loaded).map(Self::new)
    }

    pub fn new(offload: XdpProgram) -> Self {
        Self { offload, reasons: vec![0; Reason::COUNT] }
    }

    /// The only reason whose count has changed since the last call.
    fn reason(&mut self) -> Reason {
        let now: Vec<u64> = self.offload.reasons().unwrap().into_iter().map(|(_, count)| count).collect();
        let mut changed = Reason::ALL.iter().filter(|reason| now[**reason as usize] != self.reasons[**reason as usize]);
        let reason = changed.next().copied().unwrap_or(Reason::NotOurs);
        assert_eq!(changed.next(), None, "two counters changed");
        if reason != Reason::NotOurs {
            assert_eq!(now[reason as usize], self.reasons[reason as usize] + 1);
        }
        self.reasons = now;
        reason
    }
}

impl Runner for Kernel {
    fn run(&mut self, frame: &[u8]) -> Outcome {
        let Run { action, frame, .. } = self.offload.run(frame, 1).unwrap();
        let reason = self.reason();
        match reason {
            Reason::Forwarded => assert!(action == XDP_TX || action == XDP_REDIRECT, "action {action}"),
            _ => assert_eq!(action, XDP_PASS, "{reason:?}"),
        }
        Outcome { reason, frame }
    }
}
