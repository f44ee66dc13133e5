//! Waits until the portal lets the relay serve.

use std::time::Duration;

use tokio::time::timeout;

use super::signals::Signals;
use crate::portal::Portal;

/// How long a process that takes over from another one waits for the portal, which then has one of them registered at any time.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// Waits until the relay is registered, if it has a portal, for at most `limit`. Returns false if a signal ends it.
///
/// # Errors
///
/// When the portal refuses the relay for good.
pub(super) async fn wait(
    portal: &mut Option<Portal>,
    limit: Option<Duration>,
    signals: &mut Signals,
) -> anyhow::Result<bool> {
    let Some(portal) = portal else { return Ok(true) };
    let registered = async {
        match limit {
            None => portal.wait_until_registered().await,
            Some(limit) => timeout(limit, portal.wait_until_registered()).await.unwrap_or_else(|_| {
                tracing::warn!("the portal does not answer: taking over all the same, and trying on");
                Ok(())
            }),
        }
    };
    tokio::select! {
        registered = registered => registered.map(|()| true),
        signal = signals.next() => {
            tracing::info!(%signal, "stopped before the portal let it serve");
            Ok(false)
        }
    }
}
