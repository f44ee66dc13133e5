//! Waits for addresses that the machine does not have yet, as at boot.

use std::time::Duration;

use anyhow::anyhow;
use tokio::time::{Instant, sleep};

use super::signals::Signals;
use crate::{
    addresses::ThisHost,
    options::{ADDRESS_TIMEOUT, Config, Options, OsEntropy, Problems, address_timeout},
};

/// How often to check for them.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Waits until the machine has all addresses that `options` name, for as long as they allow, and returns the configuration. `first`
/// is the first attempt. `None` if a signal ends the relay meanwhile.
///
/// # Errors
///
/// What is still missing, or wrong.
pub(crate) async fn settle(
    options: &Options,
    first: Result<Config, Problems>,
    signals: &mut Signals,
) -> anyhow::Result<Option<Config>> {
    let problems = match first {
        Ok(config) => return Ok(Some(config)),
        Err(problems) => problems,
    };
    let limit = address_timeout(options);
    for problem in problems.iter() {
        tracing::warn!("waiting for {limit:?} at most ({ADDRESS_TIMEOUT}): {problem}");
    }
    let start = Instant::now();
    let mut last = problems;
    loop {
        if !last.may_pass() {
            return Err(last.into());
        }
        if start.elapsed() >= limit {
            return Err(anyhow!(
                "{}; waited for {limit:?} ({ADDRESS_TIMEOUT})",
                last.iter().collect::<Vec<_>>().join("; ")
            ));
        }
        tokio::select! {
            () = sleep(LOOK_EVERY.min(limit)) => {}
            signal = signals.next() => {
                tracing::info!(%signal, "stopped while it waited for an address");
                return Ok(None);
            }
        }
        match Config::new(options, &ThisHost::look(), &OsEntropy) {
            Ok(config) => {
                tracing::info!(waited = ?start.elapsed(), "the addresses are there");
                return Ok(Some(config));
            }
            Err(problems) => last = problems,
        }
    }
}
