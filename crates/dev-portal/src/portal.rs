use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, time::sleep};

use crate::{routes, shared::Shared};

/// A portal that listens, and serves once it is [run](Self::run).
#[derive(Debug)]
pub struct DevPortal {
    listener: TcpListener,
    shared: Arc<Shared>,
}

impl DevPortal {
    /// Listens at `listen` for relays that have `token`, and for browsers.
    ///
    /// # Errors
    /// When the address cannot be listened at.
    pub async fn bind(listen: SocketAddr, token: impl Into<String>) -> io::Result<Self> {
        let shared = Shared::new(token.into());
        Ok(Self { listener: TcpListener::bind(listen).await?, shared: Arc::new(shared) })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves for as long as the runtime lives.
    pub async fn run(self) -> Infallible {
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                // Out of file descriptors, most likely: wait for some to be closed.
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            let shared = Arc::clone(&self.shared);
            tokio::spawn(async move {
                let service = service_fn(|request| routes::answer(Arc::clone(&shared), request));
                // A browser that hangs up in the middle is its own affair.
                let _ = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades()
                    .await;
            });
        }
    }
}
