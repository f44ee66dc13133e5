use std::{
    collections::VecDeque,
    hash::{BuildHasher as _, RandomState},
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use crate::{Allocate, Allocated, Credentials, Failure, Received, Request, Success, TurnClient, encode_channel_data};

/// Why a [`BlockingClient`] failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The socket failed.
    #[error("the client's socket failed: {0}")]
    Socket(#[from] io::Error),
    /// The request failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl Error {
    /// The ERROR-CODE, if the server sent an error response.
    #[must_use]
    pub const fn code(&self) -> Option<u16> {
        match self {
            Self::Socket(_) => None,
            Self::Failure(failure) => failure.code(),
        }
    }
}

/// A [`TurnClient`] with a UDP socket. It blocks until each request is answered.
#[derive(Debug)]
pub struct BlockingClient {
    client: TurnClient,
    socket: UdpSocket,
    buffer: Vec<u8>,
    outgoing: Vec<u8>,
    /// Data that arrived while the client waited for a response.
    data: VecDeque<(u16, Vec<u8>)>,
}

impl BlockingClient {
    /// Opens a socket connected to `server`. Sends nothing yet.
    ///
    /// # Errors
    ///
    /// When the socket cannot be opened.
    pub fn connect(server: SocketAddr, credentials: Credentials) -> Result<Self, Error> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(server)?;
        Ok(Self::with_socket(socket, credentials))
    }

    /// Uses `socket`, which is connected to the server.
    #[must_use]
    pub fn with_socket(socket: UdpSocket, credentials: Credentials) -> Self {
        // A new seed each time: the system may soon reuse the port of a closed socket, and so the 5-tuple.
        let seed = RandomState::new().hash_one(());
        Self {
            client: TurnClient::new(credentials, seed),
            socket,
            buffer: vec![0; 65_536],
            outgoing: Vec::new(),
            data: VecDeque::new(),
        }
    }

    /// See [`TurnClient::with_retransmission`].
    #[must_use]
    pub fn with_retransmission(mut self, initial_timeout: Duration, transmissions: u32) -> Self {
        self.client = self.client.with_retransmission(initial_timeout, transmissions);
        self
    }

    /// The socket, for operations that this wrapper does not offer.
    #[must_use]
    pub const fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Sends `request` and waits for its answer.
    ///
    /// # Errors
    ///
    /// When the socket fails, or when the server sends an error response, an invalid response or none.
    pub fn request(&mut self, request: Request) -> Result<Success, Error> {
        let id = self.client.request(now(), request);
        loop {
            while let Some(datagram) = self.client.poll_transmit() {
                match self.socket.send(&datagram) {
                    Ok(_) => {}
                    Err(error) if is_transient(&error) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            while let Some((answered, answer)) = self.client.poll_answer() {
                if answered == id {
                    return Ok(answer?);
                }
            }
            let due = self.client.poll_timeout().unwrap_or_else(now);
            if let Some(length) = self.receive_until(due)?
                && let Received::Data { channel, payload } = self.client.handle_datagram(now(), &self.buffer[..length])
            {
                self.data.push_back((channel, payload.to_vec()));
            }
            self.client.handle_timeout(now());
        }
    }

    /// Asks for an allocation.
    ///
    /// # Errors
    ///
    /// As [`Self::request`].
    pub fn allocate(&mut self, allocate: Allocate) -> Result<Allocated, Error> {
        match self.request(Request::Allocate(allocate))? {
            Success::Allocated(allocated) => Ok(allocated),
            _ => Err(Failure::Incomplete("XOR-RELAYED-ADDRESS").into()),
        }
    }

    /// Asks for this client's transport address as the server sees it.
    ///
    /// # Errors
    ///
    /// As [`Self::request`].
    pub fn mapped_address(&mut self) -> Result<SocketAddr, Error> {
        match self.request(Request::Binding)? {
            Success::Binding { mapped } => Ok(mapped),
            _ => Err(Failure::Incomplete("XOR-MAPPED-ADDRESS").into()),
        }
    }

    /// Binds `channel` to `peer`.
    ///
    /// # Errors
    ///
    /// As [`Self::request`].
    pub fn bind(&mut self, channel: u16, peer: SocketAddr) -> Result<(), Error> {
        self.request(Request::ChannelBind { channel, peer }).map(drop)
    }

    /// Refreshes the allocation; a lifetime of zero deletes it.
    ///
    /// # Errors
    ///
    /// As [`Self::request`].
    pub fn refresh(&mut self, lifetime: Duration) -> Result<Duration, Error> {
        match self.request(Request::Refresh { lifetime: Some(lifetime) })? {
            Success::Refreshed { lifetime } => Ok(lifetime),
            _ => Err(Failure::Incomplete("LIFETIME").into()),
        }
    }

    /// Sends `payload` to the peer of `channel`.
    ///
    /// # Errors
    ///
    /// When the socket fails.
    pub fn send(&mut self, channel: u16, payload: &[u8]) -> Result<(), Error> {
        encode_channel_data(channel, payload, &mut self.outgoing);
        self.socket.send(&self.outgoing)?;
        Ok(())
    }

    /// Waits for application data. Returns its channel number and payload, or `None` after `timeout`.
    ///
    /// # Errors
    ///
    /// When the socket fails.
    pub fn receive(&mut self, timeout: Duration) -> Result<Option<(u16, Vec<u8>)>, Error> {
        if let Some(data) = self.data.pop_front() {
            return Ok(Some(data));
        }
        let due = now() + timeout;
        while let Some(length) = self.receive_until(due)? {
            if let Received::Data { channel, payload } = self.client.handle_datagram(now(), &self.buffer[..length]) {
                return Ok(Some((channel, payload.to_vec())));
            }
        }
        Ok(None)
    }

    /// Receives the next datagram and returns its length, or `None` at `due`.
    fn receive_until(&mut self, due: Instant) -> Result<Option<usize>, Error> {
        loop {
            let left = due.saturating_duration_since(now());
            if left.is_zero() {
                return Ok(None);
            }
            self.socket.set_read_timeout(Some(left))?;
            match self.socket.recv(&mut self.buffer) {
                Ok(length) => return Ok(Some(length)),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Ok(None);
                }
                Err(error) if is_transient(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Whether to keep waiting after this error: the server may not have started yet, or a signal interrupted the call.
fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::Interrupted)
}

#[expect(clippy::disallowed_methods, reason = "a blocking client waits for real time")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_client_at_the_same_port_has_other_transaction_ids() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server.local_addr().unwrap()).unwrap();
        let sent = [(); 2].map(|()| {
            let socket = socket.try_clone().unwrap();
            let client = BlockingClient::with_socket(socket, Credentials::new("alice", "secret"));
            // Nobody answers.
            let asked = client.with_retransmission(Duration::from_millis(1), 1).mapped_address();
            assert!(asked.is_err());
            let mut buffer = [0; 100];
            let length = server.recv(&mut buffer).unwrap();
            buffer[..length].to_vec()
        });
        assert_ne!(sent[0], sent[1]);
    }
}
