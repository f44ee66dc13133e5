//! The smallest HTTP server that does: answers at once, closes what dawdles, holds few connections.

use std::{
    convert::Infallible,
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, ORIGIN},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

use crate::problems::Name;

/// How many connections are served at a time; more wait.
const CONNECTIONS: usize = 64;

/// How long a connection may last, whatever happens on it.
const CONNECTION_LIMIT: Duration = Duration::from_secs(60);

/// How long a client may take to say what it wants.
const HEADER_LIMIT: Duration = Duration::from_secs(5);

/// How long to wait after a failure to accept, such as for want of files.
const PAUSE: Duration = Duration::from_millis(200);

/// What is answered.
pub(crate) type Answer = Response<Full<Bytes>>;

/// What is asked: bodies are of no interest.
#[derive(Debug)]
pub(crate) struct Ask<'r> {
    pub(crate) method: &'r Method,
    pub(crate) path: &'r str,
    pub(crate) query: Option<&'r str>,
    /// Whether a browser says that it sends this on behalf of a page.
    pub(crate) is_from_web_page: bool,
}

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// Nowhere.
    Off,
    /// Here.
    At {
        address: SocketAddr,
        /// Nobody asked for it.
        is_default: bool,
    },
}

/// Listens, unless that is off, or somebody else has the address and nobody asked for it.
///
/// # Errors
///
/// When it cannot listen where it was told to.
pub(crate) fn bind(listen: Listen, name: Name) -> anyhow::Result<Option<TcpListener>> {
    let Listen::At { address, is_default } = listen else { return Ok(None) };
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    match bound {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if is_default && error.kind() == ErrorKind::AddrInUse => {
            tracing::warn!(%address, "another program holds this address: going on without; {name} sets another, or `off`");
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| {
            format!(
                "cannot listen on tcp {address}: set {name} to an address of this machine and a free port, or to `off`"
            )
        }),
    }
}

/// Serves for as long as it is polled.
pub(super) async fn serve<H>(listener: TcpListener, handler: H)
where
    H: Fn(&Ask<'_>) -> Answer + Send + Sync + 'static,
{
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "cannot answer HTTP");
            return;
        }
    };
    let handler = Arc::new(handler);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // It is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection");
                sleep(PAUSE).await;
                continue;
            }
        };
        let handler = Arc::clone(&handler);
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(|request: Request<Incoming>| {
                let answer = respond(&*handler, &request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_LIMIT)
                .serve_connection(TokioIo::new(stream), service);
            // Whoever asks finds out by himself.
            let _ = timeout(CONNECTION_LIMIT, connection).await;
        });
    }
}

fn respond<B>(handler: &impl Fn(&Ask<'_>) -> Answer, request: &Request<B>) -> Answer {
    let ask = Ask {
        method: request.method(),
        path: request.uri().path(),
        query: request.uri().query(),
        is_from_web_page: request.headers().contains_key(ORIGIN),
    };
    handler(&ask)
}

/// Plain text.
pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    typed(status, "text/plain; charset=utf-8", body)
}

/// Anything.
pub(crate) fn typed(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
