//! The smallest HTTP server that does: answers at once, closes what dawdles, holds few connections, and always has room for one
//! more.

use std::{convert::Infallible, io, net::TcpListener, pin::Pin, sync::Arc, time::Duration};

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
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{crowd::Crowd, listen};

/// How long a connection may last, whatever happens on it.
const CONNECTION_LIMIT: Duration = Duration::from_secs(60);

/// How long a client may take to say what it wants.
const HEADER_LIMIT: Duration = Duration::from_secs(5);

/// How much of a request is held, in bytes.
const BUFFER: usize = 16 << 10;

/// How long to wait after a failure to accept, such as for want of files.
const PAUSE: Duration = Duration::from_millis(200);

/// What is answered.
pub(crate) type Answer = Response<Full<Bytes>>;

/// An answer that may take its time.
pub(crate) type Reply = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What is asked: bodies are of no interest.
#[derive(Debug)]
pub(crate) struct Ask<'r> {
    pub(crate) method: &'r Method,
    pub(crate) path: &'r str,
    pub(crate) query: Option<&'r str>,
    /// Whether a browser says that it sends this on behalf of a page.
    pub(crate) is_from_web_page: bool,
}

/// Serves for as long as it is polled, with at most this many connections at a time.
///
/// A new connection never waits for a place: the one that is longest there makes room, of those from the address that has most of
/// them. A probe says what it wants and is answered in one step; what stays is half a request, or an answer that nobody reads.
pub(super) async fn serve<H, A>(listeners: Vec<TcpListener>, connections: usize, handler: H)
where
    H: Fn(&Ask<'_>) -> A + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let listeners: io::Result<Vec<_>> = listeners.into_iter().map(tokio::net::TcpListener::from_std).collect();
    let listeners = match listeners {
        Ok(listeners) if listeners.is_empty() => return,
        Ok(listeners) => listeners,
        Err(error) => {
            tracing::error!(%error, "cannot answer HTTP");
            return;
        }
    };
    let handler = Arc::new(handler);
    let mut crowd = Crowd::new(connections);
    let mut has_warned = false;
    for turn in 0.. {
        crowd.make_room().await;
        let accepted = tokio::select! {
            biased;
            () = crowd.next_leaves() => continue,
            accepted = listen::accept(&listeners, turn) => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                crowd.admit(from.ip(), answer(stream, Arc::clone(&handler)));
            }
            Err(error) => {
                if !has_warned {
                    has_warned = true;
                    tracing::warn!(
                        %error,
                        "cannot accept a connection that asks for health, metrics or control, and closes an old one each time; if \
                         files are short, raise this process's limit (`ulimit -Hn`, LimitNOFILE= in systemd, --ulimit nofile= in Docker)"
                    );
                }
                if !crowd.make_one_leave().await {
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

async fn answer<H, A>(stream: TcpStream, handler: Arc<H>)
where
    H: Fn(&Ask<'_>) -> A + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let service = service_fn(|request: Request<Incoming>| {
        let answer = respond(&*handler, &request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // One question each: nobody has a thousand of them answered while others wait.
        .keep_alive(false)
        .header_read_timeout(HEADER_LIMIT)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    // Whoever asks finds out by himself.
    let _ = timeout(CONNECTION_LIMIT, connection).await;
}

fn respond<A, B>(handler: &impl Fn(&Ask<'_>) -> A, request: &Request<B>) -> A {
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
