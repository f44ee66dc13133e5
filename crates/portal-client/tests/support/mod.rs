//! A portal whose every move a test decides, and a relay's client that is connected to it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::{
    future::Future,
    io::{self, Write as _},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, Uri};
use portal_client::{
    Client, Config, Endpoint, Event, Failure, Fatal, Limits, Registration, StampSecret, Token, TrustedRoots,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::{Value, json};
use socket2::SockRef;
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
    },
};

pub const TOKEN: &str = "test-token-needle";
pub const SECRET: &str = "5ec4e700000000000000000000000000";

/// Turns a hang into a failure; nothing is expected to take a fraction of it.
const HANG: Duration = Duration::from_secs(60);

pub async fn no_hang<T>(future: impl Future<Output = T>) -> T {
    timeout(HANG, future).await.expect("it hangs")
}

pub trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Bytes for S {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Tls,
}

/// Makes each function that takes a [`Transport`] a test over TCP and a test over TLS.
#[macro_export]
macro_rules! over_tcp_and_tls {
    ($($name:ident)*) => {
        mod tcp {
            $(#[tokio::test] async fn $name() { super::$name($crate::support::Transport::Tcp).await; })*
        }
        mod tls {
            $(#[tokio::test] async fn $name() { super::$name($crate::support::Transport::Tls).await; })*
        }
    };
}

pub struct Portal {
    pub listener: TcpListener,
    pub authority: Option<Authority>,
}

/// A certificate authority in a file, and a server certificate that it signed.
pub struct Authority {
    pub file: NamedTempFile,
    acceptor: TlsAcceptor,
}

impl Authority {
    pub fn for_host(host: &str) -> Self {
        let authority_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(params, authority_key);
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![host.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(authority.pem().as_bytes()).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Self { file, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }
}

/// Listens on loopback, at a port below those that the system hands out by itself: nobody else gets it when a portal lets go of it
/// for a while.
async fn listen() -> TcpListener {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(97).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(10_000 + number % 20_000).unwrap();
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await {
            return listener;
        }
    }
}

impl Portal {
    pub async fn bind(transport: Transport) -> Self {
        let authority = (transport == Transport::Tls).then(|| Authority::for_host("localhost"));
        Self { authority, ..Self::bind_as(None).await }
    }

    /// A portal that shows the certificate of this authority.
    pub async fn bind_as(authority: Option<Authority>) -> Self {
        Self { listener: listen().await, authority }
    }

    pub fn url(&self) -> String {
        let port = self.listener.local_addr().unwrap().port();
        if self.authority.is_some() { format!("https://localhost:{port}") } else { format!("ws://127.0.0.1:{port}") }
    }

    /// What a relay must trust to connect to this portal.
    pub fn roots(&self) -> TrustedRoots {
        let extra_file = self.authority.as_ref().map(|authority| authority.file.path().to_owned());
        TrustedRoots { extra_file }
    }

    pub async fn accept_tcp(&self) -> TcpStream {
        no_hang(self.listener.accept()).await.unwrap().0
    }

    /// The next relay that completes the TLS handshake, if there is to be one. Dropping the stream resets the connection.
    pub async fn accept_bytes(&self) -> io::Result<Box<dyn Bytes>> {
        let tcp = self.accept_tcp().await;
        SockRef::from(&tcp).set_linger(Some(Duration::ZERO)).unwrap();
        Ok(match &self.authority {
            Some(authority) => Box::new(no_hang(authority.acceptor.accept(tcp)).await?),
            None => Box::new(tcp),
        })
    }

    /// The next relay that completes the WebSocket handshake.
    #[allow(clippy::result_large_err, reason = "the callback's type is the library's")]
    pub async fn accept(&self) -> Connection {
        let stream = self.accept_bytes().await.unwrap();
        let (mut uri, mut headers) = (Uri::default(), HeaderMap::new());
        let note = |request: &Request, response: Response| {
            uri = request.uri().clone();
            headers = request.headers().clone();
            Ok(response)
        };
        let stream = no_hang(accept_hdr_async(stream, note)).await.unwrap();
        Connection { stream, uri, headers }
    }

    /// Accepts, answers the join, sends `init`.
    pub async fn accept_ready(&self) -> Connection {
        let mut connection = self.accept().await;
        connection.make_ready().await;
        connection
    }

    /// Reads the next relay's HTTP request and gives back where the answer goes, and the request's key.
    pub async fn accept_request(&self) -> (Box<dyn Bytes>, String) {
        let mut stream = self.accept_bytes().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(no_hang(stream.read_u8()).await.unwrap());
        }
        let request = String::from_utf8(request).unwrap();
        let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
        (stream, key.to_owned())
    }

    /// Answers the next relay's HTTP request with this.
    pub async fn answer_http(&self, response: &str) {
        let (mut stream, _key) = self.accept_request().await;
        stream.write_all(response.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        // The relay hangs up once it has read the answer, which a reset could overtake.
        while no_hang(stream.read_u8()).await.is_ok() {}
    }
}

pub struct Connection {
    pub stream: WebSocketStream<Box<dyn Bytes>>,
    pub uri: Uri,
    pub headers: HeaderMap,
}

impl Connection {
    pub async fn receive(&mut self) -> Value {
        loop {
            match no_hang(self.stream.next()).await.expect("the relay is gone").unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub async fn send(&mut self, message: Value) {
        self.stream.send(Message::text(message.to_string())).await.unwrap();
    }

    pub async fn reply(&mut self, to: &Value, status: &str) {
        let payload = json!({"status": status, "response": {"reason": "because"}});
        self.send(json!({"topic": to["topic"], "event": "phx_reply", "payload": payload, "ref": to["ref"]})).await;
    }

    pub async fn push(&mut self, event: &str, payload: Value) {
        self.send(json!({"topic": "relay", "event": event, "payload": payload, "ref": null})).await;
    }

    /// Answers the join, which is given back, and sends `init`.
    pub async fn make_ready(&mut self) -> Value {
        let join = self.receive().await;
        assert_eq!(join["event"], "phx_join", "{join}");
        assert_eq!(join["payload"], json!({"stamp_secret": SECRET}));
        self.reply(&join, "ok").await;
        self.push("init", json!({"unknown": [1, 2, 3]})).await;
        join
    }
}

/// A running [`Client`].
pub struct Relay {
    events: mpsc::UnboundedReceiver<Event>,
    leave: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), Fatal>>,
}

/// Limits that do not get in the way: what a test wants to see expire it shortens itself.
pub fn limits() -> Limits {
    Limits { startup: HANG * 2, ..Limits::default() }
}

impl Relay {
    pub fn start(portal: &Portal, limits: Limits) -> Self {
        Self::start_at(&portal.url(), portal.roots(), limits)
    }

    pub fn start_at(url: &str, trusted_roots: TrustedRoots, limits: Limits) -> Self {
        let registration = Registration {
            name: Some("relay one".to_owned()),
            ipv4: Some([203, 0, 113, 7].into()),
            ipv6: None,
            port: Some(3478),
        };
        let client = Client::new(Config {
            endpoint: Endpoint::new(url, &trusted_roots).unwrap(),
            registration,
            token: Token::new(TOKEN).unwrap(),
            stamp_secret: StampSecret::new(SECRET),
            limits,
            relay_version: "9.8.7",
            seed: [1; 32],
        });
        let (sender, events) = mpsc::unbounded_channel();
        let (leave, left) = oneshot::channel();
        let run = async move {
            let emit = move |event| {
                let _ = sender.send(event);
            };
            client.run(emit, async { left.await.unwrap_or(()) }).await
        };
        let run: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(run);
        Self { events, leave: Some(leave), task: tokio::spawn(run) }
    }

    pub async fn event(&mut self) -> Event {
        no_hang(self.events.recv()).await.expect("the relay has given up")
    }

    pub async fn until_ready(&mut self) {
        while self.event().await != Event::Ready {}
    }

    pub async fn until_disconnected(&mut self) -> (Failure, Duration) {
        loop {
            if let Event::Disconnected { failure, retry_in } = self.event().await {
                return (failure, retry_in);
            }
        }
    }

    pub async fn fatal(self) -> Fatal {
        let Self { task, leave, .. } = self;
        let result = no_hang(task).await.unwrap();
        drop(leave);
        result.expect_err("it has not failed")
    }

    /// Asks the client to leave and gives back its result.
    pub async fn leave(mut self) -> Result<(), Fatal> {
        self.leave.take().unwrap().send(()).unwrap();
        no_hang(self.task).await.unwrap()
    }
}
