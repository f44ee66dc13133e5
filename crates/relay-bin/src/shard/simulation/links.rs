//! The simulated network between the relay and all others.

use std::{net::SocketAddr, time::Duration};

use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

use super::plan::Setting;

/// Decides about loss, duplication and delay of datagrams.
#[derive(Debug)]
pub(super) struct Links {
    rng: ChaCha8Rng,
    loss: u32,
    duplication: u32,
    delays: u32,
    delay: Duration,
}

impl Links {
    pub(super) const fn new(setting: &Setting, rng: ChaCha8Rng) -> Self {
        Self {
            rng,
            loss: setting.loss_percent,
            duplication: setting.duplication_percent,
            delays: setting.delay_percent,
            delay: setting.delay,
        }
    }

    /// Ends all network faults.
    pub(super) const fn mend(&mut self) {
        (self.loss, self.duplication, self.delays) = (0, 0, 0);
    }

    /// The delay of each copy of a datagram to or from `remote`. Empty if the datagram is lost.
    pub(super) fn copies(&mut self, remote: SocketAddr) -> Vec<Duration> {
        // Draws the same number of values every time, so that the rest of a run does not change when a kind of fault is left out.
        let percent: [u32; 4] = std::array::from_fn(|_| self.rng.random_range(0..100));
        let late = [self.rng.random_range(0.0..1.0), self.rng.random_range(0.0..1.0)];
        if percent[0] < self.loss {
            return Vec::new();
        }
        let count = if percent[1] < self.duplication { 2 } else { 1 };
        let base = Duration::from_millis(1 + u64::from(remote.port() % 29));
        let copy = |copy: usize| {
            let is_late = percent[2 + copy] < self.delays;
            base + if is_late { self.delay.mul_f64(late[copy]) } else { Duration::ZERO }
        };
        (0..count).map(copy).collect()
    }
}
