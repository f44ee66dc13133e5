use std::{future::Future, pin::Pin, sync::Arc};

use tokio::time::{Instant, sleep_until};

use crate::{
    Endpoint, Event, Failure, Fatal, Limits, Output, Registration, Session, StampSecret, Token, connector::Connector,
    socket::Socket, user_agent::user_agent,
};

/// The configuration of a [`Client`].
#[derive(Clone, Debug)]
pub struct Config {
    /// The portal's end point.
    pub endpoint: Endpoint,
    /// What the relay tells the portal about itself.
    pub registration: Registration,
    /// The relay's credential at the portal.
    pub token: Token,
    /// The secret with which the portal makes TURN credentials.
    pub stamp_secret: StampSecret,
    /// Time limits.
    pub limits: Limits,
    /// The relay's version, sent to the portal in `User-Agent`.
    pub relay_version: &'static str,
    /// The seed of the jitter in waits between attempts. The relays of a fleet must have different seeds.
    pub seed: [u8; 32],
}

/// Drives a [`Session`] over TCP and TLS.
#[derive(Debug)]
pub struct Client {
    connector: Arc<Connector>,
    stamp_secret: StampSecret,
    seed: [u8; 32],
}

type Connecting = Pin<Box<dyn Future<Output = Result<Socket, Failure>> + Send>>;

enum Link {
    Idle,
    Connecting(Connecting),
    Open(Socket),
}

enum Input {
    Connected(Socket),
    Text(String),
    Failed(Failure),
}

impl Client {
    /// A client that has not connected yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let Config { endpoint, registration, token, stamp_secret, limits, relay_version, seed } = config;
        let connector = Connector { endpoint, registration, token, user_agent: user_agent(relay_version), limits };
        Self { connector: Arc::new(connector), stamp_secret, seed }
    }

    /// Keeps the relay registered until `leave` completes, then leaves the portal's channel and closes the connection.
    /// `emit` is called with every event, in order, and must not block.
    ///
    /// Needs a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// When the relay gives up the portal for good.
    pub async fn run(self, mut emit: impl FnMut(Event), leave: impl Future<Output = ()>) -> Result<(), Fatal> {
        let epoch = Instant::now();
        let mut session = Session::new(self.connector.limits, self.stamp_secret, self.seed, epoch.elapsed());
        let mut link = Link::Idle;
        tokio::pin!(leave);
        loop {
            while let Some(output) = session.poll_output() {
                match output {
                    Output::Connect => link = Link::Connecting(Box::pin(Arc::clone(&self.connector).connect())),
                    Output::Send(text) => {
                        let Link::Open(socket) = &mut link else { continue };
                        if let Err(failure) = socket.queue(text) {
                            link = Link::Idle;
                            session.handle_failed(epoch.elapsed(), failure);
                        }
                    }
                    Output::Close => link = Link::Idle,
                    Output::Event(event) => emit(event),
                    Output::GiveUp(fatal) => return Err(fatal),
                }
            }

            let timeout = session.poll_timeout().and_then(|at| epoch.checked_add(at));
            tokio::select! {
                () = &mut leave => break,
                input = link.next() => {
                    let now = epoch.elapsed();
                    match input {
                        Input::Connected(socket) => {
                            link = Link::Open(socket);
                            session.handle_connected(now);
                        }
                        Input::Text(text) => session.handle_text(now, &text),
                        Input::Failed(failure) => {
                            link = Link::Idle;
                            session.handle_failed(now, failure);
                        }
                    }
                }
                () = sleep_until(timeout.unwrap_or(epoch)), if timeout.is_some() => session.handle_timeout(epoch.elapsed()),
            }
        }

        session.handle_leave();
        if let Link::Open(mut socket) = link {
            while let Some(output) = session.poll_output() {
                if let Output::Send(text) = output
                    && socket.queue(text).is_err()
                {
                    return Ok(());
                }
            }
            socket.close().await;
        }
        Ok(())
    }
}

impl Link {
    /// Waits for the next input of the session. Cancel safe.
    async fn next(&mut self) -> Input {
        match self {
            Self::Idle => std::future::pending().await,
            Self::Connecting(connecting) => connecting.await.map_or_else(Input::Failed, Input::Connected),
            Self::Open(socket) => socket.next().await.map_or_else(Input::Failed, Input::Text),
        }
    }
}
