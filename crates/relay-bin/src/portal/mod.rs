//! Registers the relay with a portal. Runs on its own thread, so that neither starves the other.

mod config;
mod registration_status;

use std::thread;

use anyhow::{Context, anyhow};
use portal_client::{Client, Registration, StampSecret};
use relay_server::RelayAddresses;
use tokio::{
    runtime::Builder,
    sync::{oneshot, watch},
};
use turn_auth::AuthSecret;

use self::registration_status::RegistrationStatus;

pub(crate) use self::config::PortalConfig;

/// The state of the registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortalState {
    /// Not registered yet. The relay must not serve.
    Registering,
    /// Registered.
    Registered,
    /// Was registered. The portal cannot be reached now, and the relay goes on.
    Partitioned,
}

/// A running portal client.
#[derive(Debug)]
pub(crate) struct Portal {
    state: watch::Receiver<PortalState>,
    leave: Option<oneshot::Sender<()>>,
    ended: oneshot::Receiver<anyhow::Result<()>>,
}

impl Portal {
    /// Starts to register a relay at `addresses` and `listen_port`, whose credentials follow from `secret`. Delays between attempts
    /// are drawn from `seed`.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub(crate) fn start(
        portal: &PortalConfig,
        addresses: RelayAddresses,
        listen_port: u16,
        secret: Option<&AuthSecret>,
        seed: [u8; 32],
    ) -> anyhow::Result<Self> {
        let PortalConfig { endpoint, token, name, limits } = portal.clone();
        warn_if_exposed(portal);
        let client = Client::new(portal_client::Config {
            endpoint,
            registration: Registration { name, ipv4: addresses.v4, ipv6: addresses.v6, port: Some(listen_port) },
            token,
            stamp_secret: StampSecret::new(secret.map_or("", AuthSecret::expose)),
            limits,
            relay_version: env!("CARGO_PKG_VERSION"),
            seed,
        });
        let (mut registration_status, state) = RegistrationStatus::new();
        let (leave, left) = oneshot::channel();
        let (tell_end, ended) = oneshot::channel();
        let run = move || -> anyhow::Result<()> {
            let runtime =
                Builder::new_current_thread().enable_io().enable_time().build().context("cannot start a runtime")?;
            let result = runtime.block_on(client.run(|event| registration_status.handle(event), async {
                // An error means that the relay has ended without leaving.
                let _ = left.await;
            }));
            // Do not wait for a name look-up that hangs.
            runtime.shutdown_background();
            Ok(result?)
        };
        thread::Builder::new()
            .name("portal".to_owned())
            .spawn(move || {
                // Nobody receives this when the process ends.
                let _ = tell_end.send(run());
            })
            .context("cannot start the portal's thread")?;
        Ok(Self { state, leave: Some(leave), ended })
    }

    /// The state of the registration, now and as it changes.
    pub(crate) fn state(&self) -> watch::Receiver<PortalState> {
        self.state.clone()
    }

    /// Waits until the relay is registered.
    ///
    /// # Errors
    ///
    /// When the portal client has given up.
    pub(crate) async fn wait_until_registered(&mut self) -> anyhow::Result<()> {
        let mut state = self.state.clone();
        tokio::select! {
            biased;
            ended = self.wait_for_end() => {
                ended?;
                Err(anyhow!("the portal client ended by itself: this is a bug"))
            }
            // An error means that the client has ended. The other branch has the reason.
            Ok(_) = state.wait_for(|state| *state != PortalState::Registering) => Ok(()),
        }
    }

    /// Waits until the portal client has left or given up.
    ///
    /// # Errors
    ///
    /// Why it gave up.
    pub(crate) async fn wait_for_end(&mut self) -> anyhow::Result<()> {
        match (&mut self.ended).await {
            Ok(result) => result,
            Err(_) => Err(anyhow!("the portal client panicked: this is a bug; the message above says where")),
        }
    }

    /// Leaves the portal in the background, so that it sends no more clients here.
    pub(crate) fn leave(&mut self) {
        if let Some(leave) = self.leave.take() {
            // An error means that the client has ended already.
            let _ = leave.send(());
        }
    }
}

/// Warns if the token is sent unencrypted, where others on the path can read it.
fn warn_if_exposed(portal: &PortalConfig) {
    let host = portal.endpoint.host();
    let is_here = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    if !portal.endpoint.is_encrypted() && !is_here {
        tracing::warn!(host, "the token and the relay's secret travel unencrypted: use a wss:// URL");
    }
}
