use std::sync::Arc;

use http::HeaderValue;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{Error, protocol::WebSocketConfig},
};

use crate::{
    Endpoint, Failure, Limits, Registration, Token,
    race::race,
    refusal::refusal,
    socket::{ByteStream, MAX_MESSAGE, Socket},
};

/// Opens WebSockets to the portal.
#[derive(Debug)]
pub(crate) struct Connector {
    pub(crate) endpoint: Endpoint,
    pub(crate) registration: Registration,
    pub(crate) token: Token,
    pub(crate) user_agent: HeaderValue,
    pub(crate) limits: Limits,
}

impl Connector {
    /// Makes one attempt: looks up the name and races its addresses. The caller limits the time of the whole attempt.
    pub(crate) async fn connect(self: Arc<Self>) -> Result<Socket, Failure> {
        let host = self.endpoint.host();
        let resolve_failed = |problem: String| Failure::Resolve { host: host.to_owned(), problem };
        let addresses: Vec<_> = lookup_host((host, self.endpoint.port()))
            .await
            .map_err(|error| resolve_failed(error.to_string()))?
            .collect();
        if addresses.is_empty() {
            return Err(resolve_failed("it has no address".to_owned()));
        }

        let tcp = race(addresses, self.limits.tcp_connect, TcpStream::connect).await?;
        // An error here costs latency at most: there are few messages, and they are small.
        let _ = tcp.set_nodelay(true);
        let stream = self.encrypt(tcp).await?;

        let request = self
            .endpoint
            .request(&self.registration, &self.token, &self.user_agent)
            .map_err(|error| Failure::Handshake { problem: error.to_string() })?;
        let mut config = WebSocketConfig::default();
        config.read_buffer_size = 8 * 1024;
        config.write_buffer_size = 0;
        config.max_write_buffer_size = MAX_MESSAGE;
        config.max_message_size = Some(MAX_MESSAGE);
        config.max_frame_size = Some(MAX_MESSAGE);
        match client_async_with_config(request, stream, Some(config)).await {
            Ok((stream, _response)) => Ok(Socket::new(stream)),
            Err(Error::Http(response)) => Err(refusal(&response)),
            Err(error) => Err(Failure::Handshake { problem: error.to_string() }),
        }
    }

    async fn encrypt(&self, tcp: TcpStream) -> Result<Box<dyn ByteStream>, Failure> {
        let Some(config) = self.endpoint.tls() else { return Ok(Box::new(tcp)) };
        let host = self.endpoint.host();
        let failed = |problem: String| Failure::Tls { host: host.to_owned(), problem };
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(error.to_string()))?;
        let stream = TlsConnector::from(config).connect(name, tcp).await.map_err(|error| failed(error.to_string()))?;
        Ok(Box::new(stream))
    }
}
