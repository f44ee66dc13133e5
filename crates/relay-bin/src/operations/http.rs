//! The smallest HTTP server that does: answers at once, closes what dawdles, holds few connections, and always has room for one
//! more.

use std::{convert::Infallible, io, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, ORIGIN},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{sleep, timeout},
};

use super::{
    crowd::Crowd,
    listen::{self, Bound, Connection, Listener},
};

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
    /// Whether it names the relay by a host name, as a page does whose name has been made to lead here (DNS rebinding): a browser sends no
    /// Origin with a GET of the page's own site.
    pub(crate) is_by_name: bool,
    /// Whether it came by a Unix socket, which the relay's own user alone can connect to.
    pub(crate) is_private: bool,
}

/// Serves for as long as it is polled, with at most this many connections at a time.
///
/// A new connection never waits for a place: the one that is longest there makes room, of those from the address that has most of
/// them. A probe says what it wants and is answered in one step; what stays is half a request, or an answer that nobody reads.
pub(super) async fn serve<H, A>(listeners: Vec<Bound>, connections: usize, handler: H)
where
    H: Fn(&Ask<'_>) -> A + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let listeners: io::Result<Vec<_>> = listeners.into_iter().map(Listener::new).collect();
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
            Ok(connection) => {
                let (from, handler) = (connection.source(), Arc::clone(&handler));
                crowd.admit(from, async move {
                    match connection {
                        Connection::Tcp(stream, _) => answer(stream, false, handler).await,
                        Connection::Unix(stream) => answer(stream, true, handler).await,
                    }
                });
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

async fn answer<S, H, A>(stream: S, is_private: bool, handler: Arc<H>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Fn(&Ask<'_>) -> A + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let service = service_fn(|request: Request<Incoming>| {
        let answer = respond(&*handler, &request, is_private);
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

fn respond<A, B>(handler: &impl Fn(&Ask<'_>) -> A, request: &Request<B>, is_private: bool) -> A {
    let ask = Ask {
        method: request.method(),
        path: request.uri().path(),
        query: request.uri().query(),
        is_from_web_page: request.headers().contains_key(ORIGIN),
        is_by_name: is_by_name(request.headers()),
        is_private,
    };
    handler(&ask)
}

/// Whether `Host` is anything but an IP address or `localhost`.
fn is_by_name(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else { return false };
    let Ok(Ok(authority)) = host.to_str().map(str::parse::<hyper::http::uri::Authority>) else { return true };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.parse::<IpAddr>().is_err() && !host.eq_ignore_ascii_case("localhost")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_or_localhost() {
        for (host, is_name) in [
            ("127.0.0.1:9999", false),
            ("[::1]:9999", false),
            ("192.0.2.1", false),
            ("localhost:9999", false),
            ("LOCALHOST", false),
            ("relay.example.com:9999", true),
            ("127.0.0.1.example.com", true),
            ("localhost.example.com", true),
            ("", true),
        ] {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
            assert_eq!(is_by_name(&headers), is_name, "{host}");
        }
        assert!(!is_by_name(&HeaderMap::new()), "HTTP/1.0");
    }
}
