use std::{future::Future, pin::Pin, sync::Arc};

use tokio::time::{Instant, sleep_until};

use crate::{
    Endpoint, Event, Failure, Fatal, Limits, Output, Registration, Session, StampSecret, Token, connector::Connector,
    socket::Socket, user_agent::user_agent,
};

/// What a [`Client`] needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the portal is.
    pub endpoint: Endpoint,
    /// What it is told of this relay.
    pub registration: Registration,
    /// The relay's credential.
    pub token: Token,
    /// What the portal signs TURN credentials with.
    pub stamp_secret: StampSecret,
    /// How long to wait for what.
    pub limits: Limits,
    /// Told to the portal in `User-Agent`.
    pub relay_version: &'static str,
    /// Makes the waits between attempts repeatable; relays of one fleet must have different ones.
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
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let Config { endpoint, registration, token, stamp_secret, limits, relay_version, seed } = config;
        let connector = Connector { endpoint, registration, token, user_agent: user_agent(relay_version), limits };
        Self { connector: Arc::new(connector), stamp_secret, seed }
    }

    /// Keeps the relay registered until `leave` completes, then says good-bye to the portal.
    /// `emit` hears of everything that happens, in order, and must not block.
    ///
    /// Needs a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// When the portal is given up for good.
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
    /// What happens next. Dropping the future loses nothing.
    async fn next(&mut self) -> Input {
        match self {
            Self::Idle => std::future::pending().await,
            Self::Connecting(connecting) => connecting.await.map_or_else(Input::Failed, Input::Connected),
            Self::Open(socket) => socket.next().await.map_or_else(Input::Failed, Input::Text),
        }
    }
}
